"""What a party's process takes from its driver: the packages that the driver runs, a list of variables, a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import jmpc
from jmpc.daemon.children import Children, Settings
from jmpc.errors import ConfigError, LaunchError
from jmpc.runtime import spawn
from tests.runtime.helpers import alive, gone, until

HERE = str(Path(__file__).parent)
PACKAGE = Path(jmpc.__file__).parent
SITE = spawn.import_path()


def told(folder: Path) -> list[dict]:
    """What each party says of its process, once all have."""
    paths = [folder / f"{party}.json" for party in range(3)]
    assert until(lambda: all(path.exists() for path in paths))
    return [json.loads(path.read_text()) for path in paths]


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict]]:
    folder = tmp_path_factory.mktemp("told")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        for name in spawn.VARIABLES:
            patch.setenv(name, os.environ.get(name) or "1")
        patch.setenv("JAX_PLATFORMS", "cpu")
        patch.setenv("XLA_FLAGS", "")
        patch.setenv("PLANTED_TOKEN", "s3cret")
        patch.setenv("PYTHONPATH", "/nowhere")
        patch.setenv("JMPC_CACHE_DIR", "a/relative/folder")
        given = {"GIVEN": "on purpose", "TOLD": str(folder)}
        with contextlib.closing(Children(Settings(modules=("party_told",), environment=given))):
            yield told(folder)


def test_a_party_has_the_listed_variables_and_those_it_was_given(parties: list[dict]) -> None:
    for party in parties:
        environment = dict(party["environment"])
        assert environment.pop("GIVEN") == "on purpose"
        assert environment.pop("TOLD")
        assert environment.pop("JMPC_CACHE_DIR") == os.path.abspath("a/relative/folder")
        environment.pop("LC_CTYPE")  # Python sets it
        environment.pop("TPU_SKIP_MDS_QUERY", None)  # JAX does
        assert environment.keys() == set(spawn.VARIABLES) - {"JMPC_CACHE_DIR", "LC_CTYPE"}
        assert "s3cret" not in json.dumps(party)


def test_the_list_of_variables_is_the_documented_one() -> None:
    text = (PACKAGE.parent / "docs" / "security.md").read_text()
    assert [name for name in spawn.VARIABLES if f"`{name}`" not in text] == []


@pytest.mark.parametrize("bad", [{"A=B": "x"}, {"": "x"}, {"A": 1}, {"A": "x\0y"}, {1: "x"}])
def test_what_is_no_variable_is_refused_without_its_value(bad: dict) -> None:
    with pytest.raises(ConfigError, match="environment") as caught:
        Settings(environment={**bad, "TOKEN": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_a_party_dumps_no_core_and_cannot_be_looked_into(parties: list[dict]) -> None:
    for party in parties:
        assert party["core"] == [0, 0]
        assert party["dumpable"] == (0 if sys.platform == "linux" else party["dumpable"])


def test_a_party_gains_no_privilege_and_gives_its_files_to_nobody(parties: list[dict]) -> None:
    for party in parties:
        assert party["no_new_privileges"] == (1 if sys.platform == "linux" else party["no_new_privileges"])
        assert party["umask"] == 0o077
        assert not party["writes_code"]


def test_a_party_imports_from_the_listed_folders_only(parties: list[dict]) -> None:
    library = os.path.dirname(os.__file__)
    for party in parties:
        assert party["folder"] == "/"
        assert set(party["path"]) == {*spawn.import_path(), HERE, *_library_path()}
        for name, file in party["modules"].items():
            inside = (library, str(PACKAGE) + os.sep, HERE, *party["path"])
            assert not file or file.startswith(inside), f"{name} comes from {file}"
            if name.split(".")[0] == "jmpc":
                assert file.startswith(str(PACKAGE) + os.sep)


def _library_path() -> list[str]:
    script = "import sys; print(*sys.path, sep='\\n')"
    run = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


DRIVER = """
import sys
sys.path += {path!r}
import jmpc
from jmpc.daemon.children import Children, Settings
sys.path.insert(0, {here!r})
Children(Settings(modules=("party_told",), environment={{"TOLD": {told!r}}})).close()
"""


def drive(
    tmp_path: Path, path: list[str], flags: tuple[str, ...] = (), planted: Path | None = None, **environment: str
) -> list[dict]:
    """Run a driver that imports from `path`, in a folder of its own or in one of planted modules."""
    script = tmp_path / "app" / "run.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text(DRIVER.format(path=path, here=HERE, told=str(tmp_path)))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment}
    command = [sys.executable, *flags, str(script)]
    run = subprocess.run(command, cwd=planted or tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return told(tmp_path)


def planted(folder: Path, names: set[str]) -> Path:
    """A folder with a module of each name, which says that it ran."""
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text("open(__file__ + '.ran', 'w')\nraise ImportError('planted')\n")
    return folder


def test_what_lies_in_the_working_directory_is_not_imported(tmp_path: Path, parties: list[dict]) -> None:
    """Every name that a party imports, and those that Python looks for by itself, planted where the driver runs."""
    names = {name.split(".")[0] for party in parties for name in party["modules"]} | set(spawn.PACKAGES)
    names |= {"sitecustomize", "usercustomize", "jmpc", "party_told"}
    trap = planted(tmp_path / "trap", names - {"__main__"})
    drive(tmp_path, [str(PACKAGE.parent), *SITE], ("-S",), trap)
    assert list(trap.glob("*.ran")) == []


def test_what_lies_beside_the_package_is_not_imported(tmp_path: Path) -> None:
    """As in a checkout: the folder that holds jmpc holds other things."""
    beside = planted(tmp_path / "checkout", {"numpy", "msgpack", "cryptography", "party_told", "resource"})
    shutil.copytree(PACKAGE, beside / "jmpc", ignore=shutil.ignore_patterns("__pycache__"))
    for party in drive(tmp_path, [*SITE, str(beside)], ("-S",)):
        assert party["modules"]["jmpc"].startswith(str(beside))
        assert str(beside) not in party["path"]
    assert list(beside.glob("*.ran")) == []


def copy_of_jmpc(folder: Path) -> Path:
    """jmpc under another version number, so that a party that ran any other copy would refuse the handshake."""
    shutil.copytree(PACKAGE, folder / "jmpc", ignore=shutil.ignore_patterns("__pycache__"))
    init = folder / "jmpc" / "__init__.py"
    init.write_text(init.read_text().replace('__version__ = "', '__version__ = "9.'))
    return folder


@pytest.mark.parametrize("how", ["site-packages", "PYTHONPATH", "editable"])
def test_parties_run_the_jmpc_of_their_driver(tmp_path: Path, how: str) -> None:
    """However it is installed, and although the environment has another one."""
    folder = copy_of_jmpc(tmp_path / "copy")
    if how == "PYTHONPATH":
        found = drive(tmp_path, [], PYTHONPATH=str(folder))
    elif how == "site-packages":
        for entry in SITE:
            for package in Path(entry).iterdir():
                if package.name.split("-")[0].split(".")[0] in spawn.PACKAGES:
                    (folder / package.name).symlink_to(package)
        found = drive(tmp_path, [str(folder)], ("-S",))
        assert [entry for party in found for entry in SITE if entry in party["path"]] == []
    else:
        environment = tmp_path / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
        (site,) = environment.glob("lib/python*/site-packages")
        (site / "project.pth").write_text("\n".join([str(folder), *SITE]))
        driver = tmp_path / "run.py"
        driver.write_text(DRIVER.format(path=[], here=HERE, told=str(tmp_path)))
        command = [str(environment / "bin" / "python"), str(driver)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=300, env={"PATH": "/bin"}, cwd=tmp_path)
        assert run.returncode == 0, run.stderr
        found = told(tmp_path)
    for party in found:
        assert party["modules"]["jmpc"] == str(folder / "jmpc" / "__init__.py")


FORKING_DRIVER = """
import os, signal, sys, threading
from jmpc.daemon.children import Children, Settings

def start():
    global cluster
    cluster = Children(Settings())

{call}
child = os.fork()  # It holds the pipe to the parties for as long as it lives.
if child == 0:
    signal.pause()
print(child, *cluster.pids, flush=True)
{stop}
os.kill(os.getpid(), signal.SIGKILL)
"""
CALLS = {
    "the main thread": "start()",
    "a thread that ended": "t = threading.Thread(target=start); t.start(); t.join()",
}
STOPS = {"running": "", "stopped": "[os.kill(pid, signal.SIGSTOP) for pid in cluster.pids]"}


@pytest.mark.parametrize("caller", sorted(CALLS))
@pytest.mark.parametrize("state", sorted(STOPS))
def test_a_party_ends_with_its_driver_though_a_fork_holds_the_pipe(caller: str, state: str) -> None:
    script = FORKING_DRIVER.format(call=CALLS[caller], stop=STOPS[state])
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        child, *pids = map(int, driver.stdout.readline().split())
        try:
            assert len(pids) == 3
            assert gone(pids)
        finally:
            for pid in (child, *pids):
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)


GUARDED = """
import os, signal, sys
from jmpc.runtime import party_boot
party_boot.sys = type("", (), {{"platform": "no prctl"}})
{without}
party_boot._end_with({parent})
print(os.getpid(), flush=True)
signal.pause()
"""
PARENT = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1].replace("PARENT", str(os.getpid()))], stdin=subprocess.PIPE)
if {fork} and os.fork() == 0:  # It holds the pipe.
    print(os.getpid(), flush=True)
    signal.pause()
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""
NO_PIDFD = "vars(os).pop('pidfd_open', None)"
GUARDS = {
    "the parent's process": ("", "PARENT", True),
    "who the parent is": (NO_PIDFD, "PARENT", True),
    "the pipe": (f"{NO_PIDFD}; os.getppid = lambda: 1", "1", False),
}


@pytest.mark.parametrize("guard", sorted(GUARDS))
def test_each_guard_alone_ends_a_party_with_its_parent(guard: str) -> None:
    without, parent, fork = GUARDS[guard]
    command = [sys.executable, "-c", PARENT.format(fork=fork), GUARDED.format(without=without, parent=parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        pids = [int(driver.stdout.readline()) for _ in range(1 + fork)]
        holder = [pid for pid in pids if "signal.pause()" in _command(pid) and "readline" in _command(pid)]
        (party,) = set(pids) - set(holder)
        assert len(holder) == fork
        assert alive(party)
        driver.stdin.write("go\n")
        driver.stdin.flush()
        try:
            assert gone([party])
        finally:
            for pid in holder:
                os.kill(pid, signal.SIGKILL)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_a_thread_that_launched_may_end() -> None:
    """The kernel's guard is on the thread that forked: it must not be the caller's."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        children = pool.submit(Children, Settings()).result()
    with contextlib.closing(children):
        time.sleep(0.2)  # the kernel would not take so long
        assert children.all_run()


def test_a_fork_of_the_driver_may_launch_too() -> None:
    script = """
import os
from jmpc.daemon.children import Children, Settings
children = Children(Settings())
if (child := os.fork()) == 0:
    other = Children(Settings())
    print(len(set(other.pids) - set(children.pids)), flush=True)
    other.close()
    os._exit(0)
os.waitpid(child, 0)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert run.stdout.split() == ["3"], run.stderr


@pytest.mark.parametrize(("python", "word"), [("", "no Python"), ("/no/such/python", "/no/such/python: No such file")])
def test_no_python_to_run_is_a_launch_error(monkeypatch: pytest.MonkeyPatch, python: str, word: str) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(LaunchError, match=word):
        Children(Settings())
