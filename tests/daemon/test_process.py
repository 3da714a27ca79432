"""A party's process: confined before it reads a key, told by signals, and silent about what it must not say."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import jmpc
from jmpc.cluster import Identity, Roster, change
from jmpc.daemon import confinement, launch, status
from jmpc.daemon.settings import Settings
from jmpc.runtime import party_boot, spawn
from tests.cluster.planted import edit, signing
from tests.test_architecture import COMPILER_ONLY, under

from .fake_party import SECRET

HERE = str(Path(__file__).parent)
ROOT = Path(jmpc.__file__).parent.parent
WAIT_S = 60.0
BECOME = """
import os, signal, sys
from pathlib import Path
from jmpc.daemon import launch, signals
from jmpc.daemon.settings import Settings
settings = Settings.read(sys.argv[1])
{before}
launch.become(launch.command(settings, True, "fake_party", [sys.argv[2]]), launch.environment(settings))
"""


class Running:
    """A party's process, and what it says."""

    def __init__(self, config: Path, process: subprocess.Popen[bytes], notify: socket.socket) -> None:
        self.folder, self.process, self.notify = config.parent, process, notify
        self.lines: list[dict] = []

    def ready(self) -> None:
        self.notify.settimeout(WAIT_S)
        assert self.notify.recv(100) == b"READY=1"

    def until(self, event: str) -> dict:
        """The next line of the log with an event."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]
        pytest.fail(f"no line says {event!r}: {self.lines}")

    def end(self) -> int:
        assert self.process.stderr is not None
        self.lines += [json.loads(line) for line in self.process.stderr]
        return self.process.wait(WAIT_S)

    def calls(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]


@contextmanager
def running(config: Path, before: str = "") -> Iterator[Running]:
    """A process that becomes a party as `jmpc party run` does, from an environment that it must not inherit."""
    path = config.parent / "notify"
    planted = {"PLANTED_TOKEN": SECRET, "PYTHONPATH": str(ROOT), "LD_PRELOAD": "", "JAX_PLATFORMS": "cpu"}
    planted["NOTIFY_SOCKET"] = str(path)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
        (config.parent / "party.toml").open() as inherited,
    ):
        notify.bind(str(path))
        command = [sys.executable, "-c", BECOME.format(before=before), str(config), HERE]
        process = subprocess.Popen(
            command,
            env={**os.environ, **planted},
            cwd=config.parent,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(inherited.fileno(),),
        )
        watch = threading.Timer(WAIT_S, process.kill)  # of one that does not end although it should
        watch.start()
        try:
            yield Running(config, process, notify)
        finally:
            watch.cancel()
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture(scope="module")
def life(party_made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One party: started, told to read the cluster's file four times, asked how it is, stopped."""
    root = Path(shutil.copytree(party_made_once, tmp_path_factory.mktemp("life") / "root"))
    with running(root / "machine" / "party.toml") as party:
        party.ready()
        study = root / "study"
        pid, old = party.process.pid, (study / "cluster.toml").read_text()
        change.add_client(study, "bank", signing(Roster.read(study / "cluster.toml").changed))
        os.kill(pid, signal.SIGHUP)
        party.until("cluster read")
        change.rotate(study, "party/1", signing(Roster.read(study / "cluster.toml").changed))
        os.kill(pid, signal.SIGHUP)
        party.until("cluster read")
        new = (study / "cluster.toml").read_text()
        (study / "cluster.toml").write_text(old)  # an older revision, whose key of party 1 is revoked by now
        os.kill(pid, signal.SIGHUP)
        for _ in range(2):
            party.until("cluster refused")
        (study / "cluster.toml").write_text(new + "\nx = 1\n")
        os.kill(pid, signal.SIGHUP)
        party.until("cluster refused")
        (study / "cluster.toml").write_text(new)
        party.status = status.ask(Settings.read(root / "machine" / "party.toml"))  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGTERM)
        party.code = party.end()  # type: ignore[attr-defined]
        yield party


def test_it_becomes_the_party_and_stops_in_order(life: Running) -> None:
    made, *calls = life.calls()
    assert made["pid"] == life.process.pid
    assert life.code == 0  # type: ignore[attr-defined]
    assert [call["call"] for call in calls] == ["start", "reload", "reload", "stop"]
    assert calls[-1]["grace_s"] == 60
    assert life.notify.recv(100) == b"STOPPING=1"


def test_it_is_confined_before_a_service_is_made(life: Running) -> None:
    made = life.calls()[0]
    assert made["core"] == [0, 0]
    if sys.platform == "linux":
        assert (made["dumpable"], made["no_new_privileges"]) == (0, 1)
    assert (life.folder / "calls").stat().st_mode & 0o777 == 0o600
    assert made["folder"] == "/"


def test_it_inherits_no_variable(life: Running) -> None:
    settings = Settings.read(life.folder / "party.toml")
    found = life.calls()[0]["environment"]
    for name in ("TPU_SKIP_MDS_QUERY", "LC_CTYPE"):  # JAX and Python set them
        found.pop(name, None)
    assert found == launch.environment(settings)
    assert found["JMPC_CACHE_DIR"] == str(life.folder / "cache")
    assert SECRET not in str(life.calls())


def test_it_inherits_no_file_but_standard_error(life: Running) -> None:
    found = life.calls()[0]["descriptors"]
    own = {fd: path for fd, path in found.items() if not path.startswith((str(life.folder / "store"), "socket:"))}
    error = own.pop("2")
    assert own.pop("0") == own.pop("1") == os.devnull
    assert set(own.values()) <= {error, "/dev/urandom"}


def test_it_imports_from_the_listed_folders_only_and_no_compiler(life: Running) -> None:
    made, library = life.calls()[0], os.path.dirname(os.__file__)
    assert set(made["path"]) >= {HERE, *spawn.import_path()}
    for name, file in made["modules"].items():
        inside = (library, str(ROOT / "jmpc") + os.sep, HERE, *spawn.import_path())
        assert not file or file.startswith(inside), f"{name} comes from {file}"
    assert [name for name in made["modules"] if any(under(name, module) for module in COMPILER_ONLY)] == []
    assert [name for name in made["modules"] if under(name, "jmpc.command") or under(name, "typer")] == []


def test_it_reads_the_cluster_and_its_certificate_again(life: Running) -> None:
    study = life.folder.parent / "study"
    first, second = (call for call in life.calls() if call["call"] == "reload")
    assert (first["revision"], second["revision"]) == (2, 3)
    assert first["key"] != second["key"]
    assert second["key"] == Identity.read(study / "party-1", Roster.read(study / "cluster.toml")).key
    changed = [line["changed"] for line in life.lines if line["event"] == "cluster read"]
    assert changed == ["client/bank is new", "party/1 has another key"]


def test_a_file_that_is_not_the_next_is_refused_and_the_party_goes_on(life: Running) -> None:
    refused = [line["fault"] for line in life.lines if line["event"] == "cluster refused"]
    assert refused == ["other-key", "not-the-next", "unknown-key"]
    assert life.status.ready  # type: ignore[attr-defined]


def test_all_that_it_says_is_lines_of_events_without_a_secret(life: Running) -> None:
    assert all(line["party"] == "party/1" and line["cluster"] == "study" for line in life.lines)
    assert SECRET not in json.dumps(life.lines)
    told = [line for line in life.lines if line["event"] == "foreign words"]
    assert [line["kind"] for line in told] == ["standard output"]


def test_told_twice_to_stop_it_ends_at_once(config: Path) -> None:
    (config.parent / "slow").touch()
    with running(config) as party:
        party.ready()
        party.process.terminate()
        assert party.notify.recv(100) == b"STOPPING=1"
        party.process.terminate()
        assert party.end() == 128 + signal.SIGTERM
    assert [line["event"] for line in party.lines][-2:] == ["told to stop", "stopped at once"]


SIGNALLED = """
go = os.chdir
def signalled(folder):  # once it lets go of what it was
    os.kill(os.getpid(), signal.SIGTERM)
    go(folder)
os.chdir = signalled
"""


def test_told_to_stop_while_it_starts_it_stops_in_order(config: Path) -> None:
    with running(config, SIGNALLED) as party:
        assert party.end() == 0
    assert [call["call"] for call in party.calls()] == ["made", "start", "stop"]


def test_a_service_that_cannot_start_ends_the_process_without_its_words(config: Path) -> None:
    (config.parent / "broken").touch()
    with running(config) as party:
        assert party.end() == 3
    (fault,) = (line for line in party.lines if line["event"] == "foreign fault")
    assert fault["kind"] == "RuntimeError"
    assert "fake_party.py" in fault["where"]
    assert SECRET not in json.dumps(party.lines)


def test_of_a_crash_of_native_code_the_lines_of_python_are_left(config: Path) -> None:
    with running(config) as party:
        party.ready()
        assert party.process.stderr is not None
        party.process.send_signal(signal.SIGSEGV)
        said = party.process.stderr.read().decode()
        assert party.process.wait(WAIT_S) == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in said
    assert "process.py" in said
    assert SECRET not in said
    assert list(config.parent.glob("core*")) == []


def test_an_address_that_is_taken_is_said(config: Path) -> None:
    with socket.create_server(Settings.read(config).listen), running(config) as party:
        assert party.end() == 3
    (fault,) = (line for line in party.lines if line["event"] == "fault")
    assert (fault["fault"], fault["where"]) == ("ConfigError", "party.toml (listen)")


def test_a_store_that_another_process_has_is_said(config: Path) -> None:
    from jmpc.store import StorageKey, Store

    settings = Settings.read(config)
    with Store.open(settings.store, StorageKey.read(settings.storage_key)), running(config) as party:
        assert party.end() == 3
    (fault,) = (line for line in party.lines if line["event"] == "fault")
    assert (fault["fault"], fault["what"]) == ("StoreError", "this store is in use")


def test_what_is_wrong_is_found_by_the_process_itself_too(config: Path) -> None:
    """Between the check of the command line and the start, a key became readable."""
    with running(config, "os.chmod(settings.identity / 'key.pem', 0o644)") as party:
        assert party.end() == 1
    assert [(line["event"], line["fault"]) for line in party.lines] == [("party refused", "readable-key")]
    assert not (config.parent / "calls").exists()


def test_a_process_that_is_not_confined_is_refused(config: Path) -> None:
    edit(config.parent, '"info"', '"debug"', "party.toml")
    script = f"""
import os, resource, sys
os.umask(0o022)
from jmpc.daemon import process
sys.exit(process.main(["--config", {str(config)!r}, "--allow-root"], lambda parts: 1 / 0))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    named = {json.loads(line)["fault"] for line in done.stderr.splitlines()}
    linux = {"dumpable", "new-privileges"} if sys.platform == "linux" else set()
    assert named - {"core-dumps"} == {"open-umask", *linux}  # a shell may have turned core dumps off already


def test_where_the_system_refuses_to_confine_it_the_process_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for refused in (party_boot.PR_SET_DUMPABLE, party_boot.PR_SET_NO_NEW_PRIVS):

        def prctl(option: int, value: int = 0, refused: int = refused) -> int:
            return -1 if option == refused else 0

        with monkeypatch.context() as patch:
            patch.setattr(party_boot, "prctl", prctl)
            patch.setattr(party_boot.resource, "setrlimit", lambda *limits: None)
            patch.setattr(os, "umask", lambda mask: mask)
            with pytest.raises(OSError, match="the process cannot"):
                party_boot._keep_to_ourselves()


@pytest.mark.parametrize("wrong", ["core-dumps", "dumpable", "new-privileges", "open-umask"])
def test_each_way_not_to_be_confined_is_found(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(confinement.resource, "getrlimit", lambda limit: (0, 1) if wrong == "core-dumps" else (0, 0))
    renounced = wrong != "new-privileges"
    answers = {party_boot.PR_GET_DUMPABLE: wrong == "dumpable", party_boot.PR_GET_NO_NEW_PRIVS: renounced}
    monkeypatch.setattr(party_boot, "prctl", lambda option, value=0: int(answers[option]))
    monkeypatch.setattr(os, "umask", lambda mask: 0o027 if wrong == "open-umask" else 0o177)
    assert [fault.name for fault in confinement.process_faults()] == [wrong]
