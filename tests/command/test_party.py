"""`jmpc party`: what it makes, finds and says, for people and as JSON, and with which exit code."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from jmpc.cluster import make as cluster
from jmpc.command.main import run
from jmpc.daemon import launch
from jmpc.daemon.health import Health, State
from jmpc.daemon.metrics import Metrics
from jmpc.daemon.settings import Settings
from jmpc.store import StorageKey, Store
from tests.cluster.planted import edit
from tests.daemon.conftest import free_ports

Read = pytest.CaptureFixture[str]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    import datetime as dt

    hosts = ["localhost:7001", "parties.example.org:7002", "[2001:db8::1]:7003"]
    cluster.create(tmp_path / "study", cluster.Order(hosts, ["hospital-a"]), dt.datetime.now(dt.UTC))
    return tmp_path / "study"


@pytest.fixture
def machine(study: Path, capsys: Read) -> Path:
    folder = study.parent / "machine"
    assert run(["party", "new", str(folder), "--cluster", str(study), "--as", "party/1"]) == 0
    capsys.readouterr()
    return folder


def said(capsys: Read) -> dict:
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_new_makes_a_folder_for_its_user_alone(study: Path, capsys: Read) -> None:
    folder = study.parent / "machine"
    assert run(["party", "new", str(folder), "--cluster", str(study), "--as", "party/1", "--json"]) == 0
    fields = said(capsys)
    assert (fields["ok"], fields["party"], fields["listen"]) == (True, "party/1", "0.0.0.0:7002")
    assert sorted(path.name for path in folder.iterdir()) == ["cache", "party.toml", "programs", "storage.key", "store"]
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    settings = Settings.read(folder / "party.toml")
    with Store.open(settings.store, StorageKey.read(settings.storage_key)) as store:
        assert store.values() == []
    assert settings.identity == study / "party-1"


@pytest.mark.parametrize(
    ("party", "listen"), [("party/0", "localhost:7001"), ("party/1", "0.0.0.0:7002"), ("party/2", "[::]:7003")]
)
def test_a_new_party_listens_where_others_dial_it(study: Path, capsys: Read, party: str, listen: str) -> None:
    assert run(["party", "new", str(study.parent / "new"), "--cluster", str(study), "--as", party, "--json"]) == 0
    assert said(capsys)["listen"] == listen


def test_new_takes_addresses_and_an_identity_elsewhere(study: Path, capsys: Read) -> None:
    own = study.parent / "keys"
    (study / "party-2").rename(own)
    options = ["--identity", str(own), "--listen", "10.1.2.3:443", "--metrics", "127.0.0.1:9999"]
    assert run(["party", "new", str(study.parent / "m"), "--cluster", str(study), "--as", "party/2", *options]) == 0
    found = Settings.read(study.parent / "m" / "party.toml")
    assert (found.identity, found.listen, found.metrics) == (own, ("10.1.2.3", 443), ("127.0.0.1", 9999))


WRONG: dict[str, tuple[list[str], int, str]] = {
    "no cluster": (["--cluster", "{nowhere}", "--as", "party/1"], 1, "cluster.toml"),
    "no party": (["--cluster", "{study}"], 2, "--as"),
    "no name": (["--cluster", "{study}", "--as", "one"], 2, "--as"),
    "a client": (["--cluster", "{study}", "--as", "client/hospital-a"], 2, "--as"),
    "a party that is not in it": (["--cluster", "{study}", "--as", "party/7"], 1, "party/7"),
    "no address": (["--cluster", "{study}", "--as", "party/1", "--listen", "7001"], 2, "--listen"),
    "no port": (["--cluster", "{study}", "--as", "party/1", "--metrics", "a:x"], 2, "--metrics"),
    "one address twice": (["--cluster", "{study}", "--as", "party/0", "--metrics", "localhost:7001"], 1, "metrics"),
}


@pytest.mark.parametrize(("options", "code", "where"), WRONG.values(), ids=list(WRONG))
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    study: Path, capsys: Read, options: list[str], code: int, where: str
) -> None:
    before = sorted(study.parent.iterdir())
    places = {"study": study, "nowhere": study.parent / "nowhere"}
    arguments = [option.format(**places) for option in options]
    assert run(["party", "new", str(study.parent / "machine"), *arguments]) == code
    assert where in capsys.readouterr().err
    assert sorted(study.parent.iterdir()) == before


def test_nothing_is_written_over(machine: Path, study: Path, capsys: Read) -> None:
    before = (machine / "storage.key").read_bytes()
    assert run(["party", "new", str(machine), "--cluster", str(study), "--as", "party/1"]) == 1
    assert "not empty" in capsys.readouterr().err
    assert (machine / "storage.key").read_bytes() == before


def test_prepare_makes_what_is_missing_and_nothing_twice(machine: Path, capsys: Read) -> None:
    (machine / "here").mkdir()
    (machine / "here" / "party.toml").write_text(
        (machine / "party.toml").read_text().replace("../study", "../../study").replace('state = "."', 'state = "s"')
    )
    config = ["--config", str(machine / "here")]
    assert run(["party", "prepare", *config, "--json"]) == 0
    made = [Path(path).relative_to(machine / "here") for path in said(capsys)["made"]]
    assert list(map(str, made)) == ["s", "programs", "s/cache", "storage.key", "s/store"]
    key = (machine / "here" / "storage.key").read_bytes()
    os.chmod(machine / "here", 0o700)
    assert run(["party", "check", *config, "--allow-root"]) == 0
    assert run(["party", "prepare", *config]) == 0
    assert capsys.readouterr().out.endswith("party/1: all is there, and stays as it is\n")
    assert (machine / "here" / "storage.key").read_bytes() == key


def test_prepare_takes_a_key_that_is_there_and_no_other(machine: Path, capsys: Read) -> None:
    import shutil

    shutil.rmtree(machine / "store")
    os.chmod(machine / "storage.key", 0o644)
    assert run(["party", "prepare", "--config", str(machine)]) == 1
    assert "owner's alone" in capsys.readouterr().err
    os.chmod(machine / "storage.key", 0o600)
    assert run(["party", "prepare", "--config", str(machine)]) == 0
    assert run(["party", "check", "--config", str(machine), "--allow-root"]) == 0


def test_check_finds_nothing_and_then_all_at_once(machine: Path, study: Path, capsys: Read) -> None:
    options = ["--config", str(machine), "--allow-root", "--json"]
    assert run(["party", "check", *options]) == 0
    assert said(capsys) == {"ok": True, "faults": []}
    os.chmod(study / "party-1" / "key.pem", 0o644)
    os.chmod(machine / "storage.key", 0o640)
    assert run(["party", "check", *options]) == 1
    faults = said(capsys)["faults"]
    assert [fault["name"] for fault in faults] == ["readable-key", "storage-key"]
    assert all(fault["todo"] for fault in faults)


def test_check_takes_the_file_or_its_folder_or_what_is_here(
    machine: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(machine)
    for options in ([], ["--config", "party.toml"], ["--config", str(machine)]):
        assert run(["party", "check", "--allow-root", *options]) == 0
        assert capsys.readouterr().out == "party/1 of study, revision 1: nothing is wrong\n"


def test_run_says_all_that_is_wrong_and_does_not_become_a_party(
    machine: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "become", lambda command, environment: pytest.fail("it runs"))
    edit(machine, "sessions = 8", "sessions = 0", "party.toml")
    edit(machine, "grace_s = 60", 'grace_s = "long"', "party.toml")
    assert run(["party", "run", "--config", str(machine), "--allow-root"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "limits.sessions" in captured.err
    assert "grace_s" in captured.err
    assert captured.err.endswith("2 faults\n")
    assert run(["party", "run", "--config", str(machine), "--allow-root", "--json"]) == 1
    fields = said(capsys)
    assert (fields["ok"], len(fields["faults"])) == (False, 2)


def test_run_refuses_root(machine: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "become", lambda command, environment: pytest.fail("it runs"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert run(["party", "run", "--config", str(machine)]) == 1
    assert "fault root:" in capsys.readouterr().err


def test_run_becomes_the_party_of_its_settings(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(launch, "become", lambda command, environment: became.append((command, environment)))
    monkeypatch.setenv("PLANTED", "x")
    with (machine / "party.toml").open("a") as file:
        file.write('JAX_PLATFORMS = "cpu"\n')
    assert run(["party", "run", "--config", str(machine), "--allow-root"]) == 0
    ((command, environment),) = became
    assert command[1:3] == ["-I", "-S"]
    assert command[-4:] == [launch.MAIN, "--config", str(machine / "party.toml"), "--allow-root"]
    assert "--parent" not in command
    assert environment["JAX_PLATFORMS"] == "cpu"
    assert "PLANTED" not in environment


@pytest.fixture
def answering(machine: Path) -> Iterator[list[str]]:
    """Something that answers as the party would; why it is not ready is in the list."""
    metrics, why = Metrics("study", 1, "party/1", ["party/0", "party/2"]), list[str]()
    metrics.watch("stored_bytes", "Bytes.", lambda: 3 << 20)
    (port,) = free_ports(1)
    edit(machine, "127.0.0.1:9464", f"127.0.0.1:{port}", "party.toml")
    state = lambda: State("party/1", "study", metrics.peers, tuple(why))  # noqa: E731
    served = Health(("127.0.0.1", port), metrics.text, state)
    yield why
    served.close()


def test_status_says_how_it_is(machine: Path, answering: list[str], capsys: Read) -> None:
    assert run(["party", "status", "--config", str(machine)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("party/1 of study: ready\n  peers: party/0 is not connected, party/2 is not connected\n")
    assert "3 MiB of ?" in text
    answering.append("party/0 is not connected")
    assert run(["party", "status", "--config", str(machine), "--json"]) == 1
    fields = said(capsys)
    assert (fields["ok"], fields["why"], fields["stored_bytes"]) == (False, answering, 3 << 20)
    assert fields["quota_bytes"] is None


def test_status_of_a_party_that_does_not_run(machine: Path, capsys: Read) -> None:
    (port,) = free_ports(1)
    edit(machine, "127.0.0.1:9464", f"127.0.0.1:{port}", "party.toml")
    assert run(["party", "status", "--config", str(machine)]) == 1
    assert "party/1 does not answer" in capsys.readouterr().err
    assert run(["party", "status", "--config", str(machine / "nowhere")]) == 1
    assert "nowhere is missing" in capsys.readouterr().err


def test_help_is_for_every_command(capsys: Read) -> None:
    assert run(["party"]) == 0
    listed = capsys.readouterr().out
    for command in ("new", "prepare", "check", "run", "status"):
        assert command in listed
        assert run(["party", command, "--help"]) == 0
        assert "--json" in capsys.readouterr().out
