"""The command line: the same by both entry points, exit codes, errors in jmpc's words, JSON, and nothing secret."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import jmpc
from jmpc.cluster import Roster, files, keys
from jmpc.command import passphrases
from jmpc.command.main import run
from tests.cluster.planted import HOSTS

ROOT = Path(__file__).resolve().parent.parent.parent
NEW = ["--hosts", ",".join(HOSTS)]
Read = pytest.CaptureFixture[str]


@pytest.fixture
def study(tmp_path: Path, capsys: Read) -> Path:
    folder = tmp_path / "study"
    assert run(["cluster", "new", str(folder), *NEW, "--clients", "hospital-a,model-owner"]) == 0
    capsys.readouterr()
    return folder


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, text=True)


def test_both_entry_points_are_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["jmpc"].partition(":")
    assert getattr(import_module(module), function) is import_module("jmpc.__main__").main
    done = python("-m", "jmpc", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{jmpc.__version__}\n", "")


def test_the_command_line_loads_no_jax_and_the_library_no_command_line(study: Path) -> None:
    show = "import sys; print(' '.join(m.split('.')[0] if m.split('.')[0] != 'jmpc' else m for m in sys.modules))"
    code = f"from jmpc.command.main import run; run(['cluster', 'check', {str(study)!r}, '--no-resolve']); {show}"
    loaded = set(python("-c", code).stdout.split())
    assert "jmpc.cluster.doctor" in loaded
    assert not loaded & {"jax", "jaxlib", "numpy", "jmpc.compiler", "jmpc.api", "jmpc.backends"}
    loaded = set(python("-c", f"import jmpc; {show}").stdout.split())
    assert "jmpc" in loaded
    assert not loaded & {"typer", "click", "rich", "cryptography", "pydantic", "jmpc.command", "jmpc.cluster"}


def test_the_shell_completes_commands() -> None:
    done = python("-m", "jmpc", _JMPC_COMPLETE="complete_bash", COMP_WORDS="jmpc cluster ro", COMP_CWORD="2")
    assert done.stdout.split() == ["rotate"]


def test_help_is_for_every_command(capsys: Read) -> None:
    assert run([]) == 0
    assert "cluster" in capsys.readouterr().out
    assert run(["cluster"]) == 0
    listed = capsys.readouterr().out
    for command in ("new", "add-client", "keygen", "sign", "accept", "rotate", "revoke", "update", "show", "check"):
        assert command in listed
        assert run(["cluster", command, "--help"]) == 0
        assert "--json" in capsys.readouterr().out


WRONG: dict[str, tuple[list[str], int, str]] = {
    "no such command": (["cluster", "frobnicate"], 2, "frobnicate"),
    "no such option": (["cluster", "show", "--frob"], 2, "--frob"),
    "an argument missing": (["cluster", "new"], 2, "DIR"),
    "an option missing": (["cluster", "new", "{there}"], 2, "--hosts"),
    "no number": (["cluster", "new", "{there}", *NEW, "--days", "x"], 2, "--days"),
    "no days": (["cluster", "new", "{there}", *NEW, "--days", "0"], 2, "--days"),
    "two hosts": (["cluster", "new", "{there}", "--hosts", "a:1,b:1"], 2, "--hosts"),
    "one host three times": (["cluster", "new", "{there}", "--hosts", "a:1,a:1,a:1"], 2, "address a:1"),
    "a host twice": (["cluster", "new", "{there}", "--hosts", "[::1]:1,[0::1]:1,b:1"], 2, "address [::1]:1"),
    "IPv6 without brackets": (["cluster", "new", "{there}", "--hosts", "::1:1,b:1,c:1"], 2, "brackets"),
    "a port too high": (["cluster", "new", "{there}", "--hosts", "a:1,b:1,c:65536"], 2, "from 1 to 65535"),
    "an empty host": (["cluster", "new", "{there}", "--hosts", "a:1,,b:1"], 2, "host:port"),
    "a host beyond ASCII": (["cluster", "new", "{there}", "--hosts", "ä:1,b:1,c:1"], 2, "xn--"),
    "a slash in a name": (["cluster", "new", "{there}", *NEW, "--clients", "a/b"], 2, "--clients"),
    "a client beyond ASCII": (["cluster", "new", "{there}", *NEW, "--clients", "å"], 2, "ASCII"),
    "two dots": (["cluster", "new", "{there}", *NEW, "--clients", ".."], 2, "--clients"),
    "a role for a name": (["cluster", "new", "{there}", *NEW, "--clients", "jmpc.SECRET"], 2, "--clients"),
    "a client twice": (["cluster", "new", "{there}", *NEW, "--clients", "a,A"], 2, "two clients"),
    "a name of capitals": (["cluster", "new", "{there}", *NEW, "--name", "Study"], 2, "--name"),
    "a folder's name": (["cluster", "new", "{there}/A B", *NEW], 2, "--name"),
    "no identity": (["cluster", "rotate", "0", "{study}"], 2, "party/0"),
    "nobody's identity": (["cluster", "rotate", "party/7", "{study}"], 1, "party/7 is not in the cluster"),
    "a folder that is full": (["cluster", "new", "{study}", *NEW], 1, "not empty"),
    "a folder that is a file": (["cluster", "new", "{study}/cluster.toml", *NEW, "--name", "x"], 1, "folder"),
    "below a file": (["cluster", "new", "{study}/cluster.toml/x", *NEW], 1, "folder"),
    "below nothing": (["cluster", "new", "{there}/a/b", *NEW], 1, "folder"),
    "no cluster": (["cluster", "show", "{there}"], 1, "cluster.toml is missing"),
    "a file for the folder": (["cluster", "revoke", "party/0", "{study}/cluster.toml"], 1, "folder"),
    "no request": (["cluster", "sign", "{study}/cluster.toml", "--authority", "{study}"], 1, "no signing request"),
    "a key for a request": (["cluster", "sign", "{study}/party-0/key.pem", "--authority", "{study}"], 1, "private key"),
    "no certificate": (["cluster", "accept", "{study}/party-0/text", "{study}"], 1, "no certificate"),
    "no authority": (
        ["cluster", "new", "{there}", *NEW, "--authority-certificate", "{study}/party-0/certificate.pem"],
        2,
        "its own key signed",
    ),
    "nothing there": (["cluster", "accept", "{there}", "{study}"], 1, "missing"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_jmpcs_words(name: str, study: Path, tmp_path: Path, capsys: Read) -> None:
    arguments, code, word = WRONG[name]
    arguments = [text.format(study=study, there=tmp_path / "there") for text in arguments]
    (study / "party-0" / "text").write_text("nothing that is meant")
    before = sorted(tmp_path.rglob("*"))
    assert run(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match(r"error: .+\n  --> .+\n(  why: .+\n)?(  fix: .+\n)*$", printed.err)
    assert word in printed.err
    assert sorted(tmp_path.rglob("*")) == before
    assert run([*arguments, "--json"]) == code
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is False
    assert set(said["error"]) == {"what", "where", "why", "todo"}


COMMANDS: dict[str, list[str]] = {
    "show": ["show", "{study}"],
    "check": ["check", "{study}", "--no-resolve"],
    "add-client": ["add-client", "bank", "{study}"],
    "rotate": ["rotate", "party/0", "{study}"],
    "renew": ["rotate", "party/0", "{study}", "--same-key"],
    "keygen": ["keygen", "{study}", "--as", "party/1", "--renew"],
    "revoke": ["revoke", "party/0", "{study}"],
    "update": ["update", "{study}/cluster.toml", "{study}"],
    "accept": ["accept", "{study}/party-0/certificate.pem", "{study}"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("as_json", [True, False])
def test_nothing_secret_is_printed(name: str, as_json: bool, study: Path, capsys: Read) -> None:
    assert run(["cluster", *(text.format(study=study) for text in COMMANDS[name]), *(["--json"] * as_json)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    if as_json:
        assert json.loads(printed.out)["ok"] is True
    secrets = [line for path in study.rglob("*key.pem") for line in path.read_text().split("\n")[1:-2]]
    assert len(secrets) > 10
    assert not [line for line in secrets if line in printed.out]
    assert "PRIVATE" not in printed.out


def test_a_passphrase_is_read_from_a_private_file_or_asked(
    tmp_path: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "SEALING_ROUNDS", 2000)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    folder, file = tmp_path / "study", tmp_path / "phrase"
    file.write_text("correct horse battery\n")
    file.chmod(0o644)
    asked = ["cluster", "new", str(folder), *NEW, "--passphrase-file", str(file)]
    assert run(asked) == 1
    assert "readable" not in capsys.readouterr().out
    file.chmod(0o600)
    assert run(asked) == 0
    assert "sealed with the passphrase" in capsys.readouterr().out
    assert run(["cluster", "rotate", "party/0", str(folder)]) == 2
    assert "no terminal" in capsys.readouterr().err
    file.write_text("correct horse cavalry\n")
    assert run(["cluster", "rotate", "party/0", str(folder), "--passphrase-file", str(file)]) == 1
    printed = capsys.readouterr()
    assert "another one" in printed.err
    assert "horse" not in printed.err + printed.out
    file.write_text("correct horse battery")
    assert run(["cluster", "rotate", "party/0", str(folder), "--passphrase-file", str(file)]) == 0


def test_a_passphrase_is_asked_without_showing_it(
    tmp_path: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    asked: list[dict[str, object]] = []

    def prompt(text: str, **how: object) -> str:
        asked.append(how)
        return "correct horse battery"

    monkeypatch.setattr(keys, "SEALING_ROUNDS", 2000)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(passphrases.typer, "prompt", prompt)
    folder = tmp_path / "study"
    assert run(["cluster", "new", str(folder), *NEW, "--passphrase"]) == 0
    assert run(["cluster", "rotate", "party/0", str(folder)]) == 0
    assert [(how["hide_input"], how["confirmation_prompt"]) for how in asked] == [(True, True), (True, False)]
    printed = capsys.readouterr()
    assert "horse" not in printed.out + printed.err


def test_a_folder_that_cannot_be_written_is_an_error(
    study: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(Path, "mkdir", refused)
    before = (study / "cluster.toml").read_bytes()
    assert run(["cluster", "revoke", "party/0", str(study)]) == 1
    assert "read-only file system" in capsys.readouterr().err
    assert (study / "cluster.toml").read_bytes() == before


def test_the_current_folder_is_the_one_that_is_meant(
    tmp_path: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run(["cluster", "new", ".", *NEW]) == 0
    assert run(["cluster", "show"]) == 0
    assert "cluster here, revision 1" in capsys.readouterr().out
    assert Roster.read("cluster.toml").name == "here"
    assert {path.name for path in Path(".").iterdir()} == {"cluster.toml", "authority", "party-0", "party-1", "party-2"}


@pytest.mark.parametrize("edit", ["bom", "crlf"])
def test_a_file_from_another_system_is_read(edit: str, study: Path, capsys: Read) -> None:
    text = (study / "cluster.toml").read_text()
    changed: dict[str, Callable[[], bytes]] = {
        "bom": lambda: b"\xef\xbb\xbf" + text.encode(),
        "crlf": lambda: text.replace("\n", "\r\n").encode(),
    }
    (study / "cluster.toml").write_bytes(changed[edit]())
    assert run(["cluster", "check", str(study), "--no-resolve"]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_a_name_that_is_code_is_a_name(tmp_path: Path, capsys: Read) -> None:
    folder = tmp_path / "x"
    assert run(["cluster", "new", str(folder), *NEW, "--clients", '"\nkey = 1']) == 2
    assert not folder.exists()
    assert "\nkey" not in capsys.readouterr().err


def test_days_count_from_today(study: Path) -> None:
    from jmpc.cluster import Identity

    ends = Identity.read(study / "party-0", Roster.read(study / "cluster.toml")).ends
    assert dt.timedelta(days=89) < ends - dt.datetime.now(dt.UTC) <= dt.timedelta(days=90)
    assert stat.S_IMODE((study / "party-0" / "key.pem").stat().st_mode) == files.PRIVATE


def test_what_a_script_leaves_open_is_closed_at_the_end(tmp_path: Path) -> None:
    """Also what only the collector of garbage would find."""
    script = tmp_path / "script.py"
    script.write_text(
        "import zipfile\n"
        f"left = zipfile.ZipFile({str(tmp_path / 'out.zip')!r}, 'w')\n"
        "left.writestr('x', 'hello')\n"
        "def used(): return left\n"
    )
    code = (
        "import runpy\nfrom jmpc.command import main\n"
        f"main.run = lambda arguments: len(runpy.run_path({str(script)!r})) and 0\n"
        "main.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "out.zip") as made:
        assert made.read("x") == b"hello"
