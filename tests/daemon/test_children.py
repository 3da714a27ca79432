"""The party processes of a driver: they come up, are told nothing in the open, and none is left behind."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jmpc.client.links import Dialler
from jmpc.daemon.children import Children, Settings
from jmpc.daemon.handover import Handover, handovers, read_handover
from jmpc.errors import ConfigError, LaunchError
from jmpc.runtime.schema import SchemaError
from jmpc.runtime.spawn import spawn
from tests.runtime.helpers import alive, gone

HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with contextlib.closing(Children(Settings())) as made:
        pids = made.pids
        yield made
    assert gone(pids)


def test_the_driver_connects_to_parties_that_know_each_other(children: Children) -> None:
    bundle = Dialler(children.roster, children.identity).open()
    assert [link.peer for link in bundle.links] == ["party 0", "party 1", "party 2"]
    bundle.close()
    assert children.all_run()


def test_secrets_are_not_on_the_command_line_or_in_the_environment(children: Children) -> None:
    for pid in children.pids:
        assert alive(pid)
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PRIVATE KEY" not in shown
        limits = Path(f"/proc/{pid}/limits").read_text()
        core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4:6] == ["0", "0"]


def test_parties_keep_no_file(children: Children) -> None:
    """Their store is memory: what a process has open is no file that anybody could find."""
    for pid in children.pids:
        names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        written = [name for name in names if name.startswith("/") and not name.startswith(("/dev/", "/proc/"))]
        assert [name for name in written if not os.path.exists(name) or not name.endswith((".so", ".py"))] == []


def test_no_two_starts_have_a_key_in_common() -> None:
    addresses, moment = [("127.0.0.1", 7000 + party) for party in range(3)], _now()
    one, other = (handovers(addresses, 60.0, 60.0, moment) for _ in range(2))
    keys = {given.credentials.key for given in (*one[0], *other[0])}
    assert len({*keys, one[1].credentials.key, other[1].credentials.key}) == 8
    assert one[0][0].everybody.roster.hash != other[0][0].everybody.roster.hash


def test_what_is_handed_over_arrives_whole_and_shows_no_key() -> None:
    given, _ = handovers([("127.0.0.1", 7000 + party) for party in range(3)], 4.5, 60.0, _now())
    for mine in given:
        found = _read(mine.to_bytes())
        assert (found.party, found.credentials, found.everybody) == (mine.party, mine.credentials, mine.everybody)
        assert found.everybody.roster.hash == given[0].everybody.roster.hash
        assert found.identity.name == f"party/{mine.party}"
        assert "PRIVATE" not in repr(mine)
    with pytest.raises(SchemaError):
        _read(b"\0\0\0\4\x81\xa1a\x01")
    with pytest.raises(SchemaError, match="too long"):
        _read(b"\xff\xff\xff\xff")
    with pytest.raises(EOFError):
        _read(given[0].to_bytes()[:100])


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _read(data: bytes) -> Handover:
    reading, writing = os.pipe()
    with open(writing, "wb") as file:
        file.write(data)
    try:
        return read_handover(reading)
    finally:
        os.close(reading)


# --- what goes wrong at the start


@pytest.mark.parametrize("wrong", [{"deadline_s": 0.0}, {"launch_s": -1.0}, {"deadline_s": float("nan")}])
def test_a_deadline_is_positive(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="positive"):
        Settings(**wrong)


def test_a_party_that_dies_at_once_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "party_that_dies.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LaunchError, match="did not come up") as caught:
        Children(Settings(modules=("party_that_dies",)))
    assert "SIGKILL" in caught.value.why


def test_parties_that_are_not_ready_in_time_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []

    def noted(*args: object) -> subprocess.Popen[bytes]:
        process = spawn(*args)  # type: ignore[arg-type]
        os.kill(process.pid, signal.SIGSTOP)
        pids.append(process.pid)
        return process

    monkeypatch.setattr("jmpc.daemon.children.spawn", noted)
    with pytest.raises(LaunchError, match="did not come up") as caught:
        Children(Settings(launch_s=0.2))
    assert "not ready within 0.2 s" in caught.value.why
    assert len(pids) == 3
    assert gone(pids)


# --- how a driver ends

DRIVER = """
import os, signal, sys, threading
from jmpc.daemon.children import Children, Settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us in the background

def main():
    children = Children(Settings())
    print(*children.pids, flush=True)
    {end}

{call}
"""
ENDS = {
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "main()"),
    "interrupted": ("os.kill(os.getpid(), signal.SIGINT)", "main()"),
    "exit": ("os._exit(0)", "main()"),
    "killed, launched by a thread": (
        "os.kill(os.getpid(), signal.SIGKILL)",
        "t = threading.Thread(target=main); t.start(); t.join()",
    ),
}


@pytest.mark.parametrize("how", sorted(ENDS))
def test_no_process_outlives_the_driver(how: str) -> None:
    end, call = ENDS[how]
    script = DRIVER.format(end=end, call=call)
    driver = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    pids = [int(word) for word in driver.stdout.split()]
    assert len(pids) == 3  # and the parties printed nothing
    assert gone(pids)


def test_a_party_process_imports_no_front_end_and_no_jax_by_itself() -> None:
    script = "import jmpc.daemon.child, sys; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200, check=True)
    modules = shown.stdout.split()
    assert "jmpc.daemon.child" in modules
    banned = ("jax", "jmpc.frontend", "jmpc.passes", "jmpc.families", "jmpc.compiler", "jmpc.api", "cryptography.x509")
    assert [name for name in modules if name in banned or name.startswith("jmpc.frontend")] == []
