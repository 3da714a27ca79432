"""Which system calls a party's process is refused: the filter as the kernel would run it, for each machine; and a real
process, in which each refused call fails, while threads, sockets and files go on."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import jmpc
from jmpc.daemon import confinement, launch, process, syscalls
from jmpc.daemon.settings import Settings, text_of
from jmpc.daemon.syscalls import MACHINES, Machine
from tests.cluster.planted import edit
from tests.daemon.test_process import running

ALLOW = 0x7FFF0000
LOAD, EQUAL, AT_LEAST, ANY_OF, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
BOTH = [(name, programs) for name in MACHINES for programs in (False, True)]


def decided(made: bytes, number: int, argument: int = 0, audit: int | None = None, third: int = 0) -> int:
    """What the kernel's interpreter returns for a call."""
    shown = struct.pack("<IIQQQQ", number, 0 if audit is None else audit, 0, argument, 0, third) + bytes(24)
    steps = list(struct.iter_unpack("=HBBI", made))
    at, word = 0, 0
    while True:
        what, yes, no, k = steps[at]
        at += 1
        if what == RETURN:
            return k
        if what == LOAD:
            (word,) = struct.unpack_from("<I", shown, k)
        else:
            holds = {EQUAL: word == k, AT_LEAST: word >= k, ANY_OF: bool(word & k)}[what]
            at += yes if holds else no


def fails(found: int) -> int:
    """The error that it makes of a call."""
    assert found & 0xFFFF0000 == 0x00050000, hex(found)
    return found & 0xFFFF


@pytest.mark.parametrize(("name", "programs"), BOTH)
def test_the_listed_calls_are_refused_and_all_others_are_not(name: str, programs: bool) -> None:
    here = MACHINES[name]
    made = syscalls.program(here, programs)
    refused = set(here.refused(programs).values())
    assert len(refused) == len(here.refused(programs))  # no two calls have one number
    special = {here.clone, here.clone3, here.socket, here.socketpair}
    special |= {here.prctl, here.kill, here.tgkill, here.prlimit64}
    assert not refused & special
    for number in set(range(600)) - special:
        found = decided(made, number, audit=here.audit)
        assert (fails(found) == errno.EPERM) if number in refused else (found == ALLOW), number
    assert ("execve" in here.refused(programs)) is not programs


@pytest.mark.parametrize(("name", "programs"), BOTH)
def test_threads_are_made_and_no_namespaces(name: str, programs: bool) -> None:
    here = MACHINES[name]
    made = syscalls.program(here, programs)

    def clone(flags: int) -> int:
        return decided(made, here.clone, flags, here.audit)

    thread = 0x3D0F00  # of the C library: CLONE_VM, CLONE_THREAD, ...
    assert clone(thread) == ALLOW
    assert clone(thread | 0xFFFFFFFF << 32) == ALLOW  # the kernel looks at the lower half alone
    assert (clone(0x11) == ALLOW) is programs  # another process, as `fork` makes it
    for namespace in (0x20000, *(1 << bit for bit in range(25, 31))):
        assert fails(clone(namespace)) == fails(clone(thread | namespace)) == errno.EPERM
    assert fails(decided(made, here.clone3, audit=here.audit)) == errno.ENOSYS


@pytest.mark.parametrize(("name", "programs"), BOTH)
def test_sockets_are_those_of_the_internet_and_of_this_machine(name: str, programs: bool) -> None:
    here = MACHINES[name]
    made = syscalls.program(here, programs)
    for call in (here.socket, here.socketpair):
        allowed = [n for n in range(64) if decided(made, call, n, here.audit) == ALLOW]
        assert allowed == [1, 2, 10]


@pytest.mark.parametrize("name", MACHINES)
def test_who_meets_its_own_hosts_may_ask_for_the_addresses_of_the_machine(name: str) -> None:
    here = MACHINES[name]
    made = syscalls.program(here, False, addresses=True)
    allowed = [n for n in range(64) if decided(made, here.socket, n, here.audit) == ALLOW]
    assert allowed == [1, 2, 10, 16]  # AF_NETLINK
    for other in (1, 9, 15):  # of what else the kernel tells by it: NETLINK_AUDIT, ...
        assert fails(decided(made, here.socket, 16, here.audit, other)) == errno.EPERM
        assert decided(made, here.socket, 2, here.audit, other) == ALLOW
    assert fails(decided(made, here.socketpair, 16, here.audit)) == errno.EPERM


@pytest.mark.parametrize(("name", "programs"), BOTH)
def test_what_names_a_process_names_this_one(name: str, programs: bool) -> None:
    here, own = MACHINES[name], os.getpid()
    made = syscalls.program(here, programs)
    for call, allowed in ((here.kill, {own}), (here.tgkill, {own}), (here.prlimit64, {0, own})):
        for process_id in (0, 1, own - 1, own, own + 1, 2**32 - 1):
            found = decided(made, call, process_id, here.audit)
            assert (found == ALLOW) if process_id in allowed else (fails(found) == errno.EPERM)


@pytest.mark.parametrize(("name", "programs"), BOTH)
def test_nothing_makes_the_process_one_that_can_be_looked_into(name: str, programs: bool) -> None:
    here = MACHINES[name]
    made = syscalls.program(here, programs)
    refused = [n for n in range(80) if decided(made, here.prctl, n, here.audit) != ALLOW]
    assert refused == [4]  # PR_SET_DUMPABLE


def test_calls_of_another_convention_are_refused() -> None:
    for name, here in MACHINES.items():
        made = syscalls.program(here, True)
        for other in (0, 0x40000003, *(m.audit for n, m in MACHINES.items() if n != name)):
            assert fails(decided(made, 0, audit=other)) == errno.EPERM
    x86 = MACHINES["x86_64"]
    assert fails(decided(syscalls.program(x86, True), 0x40000000, audit=x86.audit)) == errno.EPERM


def test_a_machine_that_is_not_known_runs_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls.platform, "machine", lambda: "riscv64")
    count, (fault,) = confinement.refuse_calls(False)
    assert (count, fault.name, fault.warning) == (0, "no-filter", True)


def test_a_system_that_refuses_the_filter_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(programs: bool, addresses: bool) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(syscalls, "install", refused)
    count, (fault,) = confinement.refuse_calls(False)
    assert (count, fault.name, fault.warning, fault.why) == (0, "no-filter", False, "Invalid argument")


WITHOUT = """
import sys
from jmpc.daemon import confinement, process
from jmpc.runtime import party_boot
party_boot._keep_to_ourselves()
confinement.syscalls.MACHINES = {machines}
sys.exit(process.main(["--config", {config!r}, "--allow-root"], lambda parts: 1 / 0))
"""


@pytest.mark.parametrize("known", [True, False])
def test_a_process_that_gets_no_filter_ends_or_warns(config: Path, known: bool) -> None:
    """A number that is no call of the kernel, as on a system without filters; and a machine that is not known."""
    here = Machine(0, 0, 100_000, *[0] * 8)
    machines = f"dict.fromkeys(confinement.syscalls.MACHINES, confinement.syscalls.{here!r})" if known else "{}"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(machines=machines, config=str(config))],
        env={"PYTHONPATH": str(Path(jmpc.__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    said = [(line["event"], line.get("fault")) for line in lines]
    if known:
        assert done.returncode == process.REFUSED
        assert said == [("party refused", "no-filter")]
    else:
        assert done.returncode == process.FAILED  # there is no service: all that comes before it was passed
        assert said[0] == ("warning", "no-filter")


def test_each_refused_call_fails_in_a_party_and_the_rest_works(config: Path) -> None:
    (config.parent / "probe").touch()
    with running(config) as party:
        party.ready()
        said = party.until("calls refused")
        party.process.terminate()
        assert party.end() == 0
    here = syscalls.machine()
    assert here is not None
    probed = party.calls()[0]["probed"]
    assert probed["by number"] == dict.fromkeys(here.refused(False), errno.EPERM)
    assert probed["by name"]  # as the C library knows them: the numbers are right
    assert set(probed["by name"].values()) == {errno.EPERM}
    assert probed["sockets"] == {"1": 0, "2": 0, "10": 0, "16": errno.EPERM, "17": errno.EPERM, "38": errno.EPERM}
    assert (probed["fork"], probed["thread"], probed["filtered"]) == (errno.EPERM, True, True)
    assert (said["calls"], said["programs"]) == (len(here.refused(False)), False)


def test_where_programs_may_be_started_the_log_says_so(config: Path) -> None:
    edit(config.parent, "start_programs = false", "start_programs = true", "party.toml")
    (config.parent / "probe").touch()
    with running(config) as party:
        party.ready()
        said = party.until("calls refused")
        party.process.terminate()
        assert party.end() == 0
    here = syscalls.machine()
    assert here is not None
    probed = party.calls()[0]["probed"]
    assert probed["by number"] == dict.fromkeys(here.refused(True), errno.EPERM)
    assert probed["started"] == 0
    assert (said["calls"], said["programs"]) == (len(here.refused(True)), True)


def test_no_program_may_be_started_unless_the_operator_says_so(config: Path) -> None:
    settings = Settings.read(config)
    assert "--start-programs" not in launch.command(settings, False)
    assert "start_programs = false" in text_of(settings)
