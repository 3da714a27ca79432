"""What the kernel refuses a party's process from now on: calls that a party never makes.

In: whether it may start other programs, and ask for the addresses of its machine. Out: a filter of system calls
(seccomp) over all threads of this process, which lasts until it ends and which its own children inherit. A refused call
fails with EPERM, as where there are no rights: native code that tries one goes on without it, and the process does not
die of it. It is a list of what is refused, not of what is allowed: what an XLA, a libc or a kernel of tomorrow uses to
compile, allocate and wait is not known today.

The filter is a program of the kernel's classic BPF: load a word of the call, compare, jump forwards, return.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jmpc.runtime import party_boot

PR_GET_SECCOMP, FILTERED = 21, 2
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 32  # in what the kernel shows of a call
_NETLINK_ROUTE = 0
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_DUMPABLE = party_boot.PR_SET_DUMPABLE
_CLONE_THREAD, _CLONE_NEW = 0x10000, 0x7E020000  # a thread of this process; namespaces of its own
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)

# By the call: its number on x86-64 and on ARM64, None where there is none.
_PROGRAMS = {"execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None)}
_OTHERS = {  # look into or become another process, or another user
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "setuid": (105, 146), "setgid": (106, 144),
    "setreuid": (113, 145), "setregid": (114, 143), "setresuid": (117, 147), "setresgid": (119, 149),
    "setfsuid": (122, 151), "setfsgid": (123, 152), "setgroups": (116, 159), "capset": (126, 91),
    "unshare": (272, 97), "setns": (308, 268), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424),
}  # fmt: skip
_SYSTEM = {  # change the system
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "mknod": (133, None), "mknodat": (259, 33),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "reboot": (169, 142), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161),
    "setdomainname": (171, 162), "vhangup": (153, 58), "syslog": (103, 116), "iopl": (172, None),
    "ioperm": (173, None), "modify_ldt": (154, None), "personality": (135, 92), "uselib": (134, None),
    "nfsservctl": (180, 42), "lookup_dcookie": (212, 18),
}  # fmt: skip
_KERNEL = {  # reach far into the kernel, where faults were found again and again
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "fanotify_init": (300, 262), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """How calls are numbered. audit: how the kernel names the architecture.  foreign: numbers from here on are of
    another convention of the same architecture (x32)."""

    column: int
    audit: int
    seccomp: int
    socket: int
    socketpair: int
    clone: int
    clone3: int
    prctl: int
    kill: int
    tgkill: int
    prlimit64: int
    foreign: int | None = None

    def refused(self, programs: bool) -> Mapping[str, int]:
        """The calls that are refused whatever their arguments are, by name. programs: others may be started."""
        tables = ({} if programs else _PROGRAMS, _OTHERS, _SYSTEM, _KERNEL)
        numbers = {name: both[self.column] for table in tables for name, both in table.items()}
        return {name: number for name, number in numbers.items() if number is not None}


MACHINES = {
    "x86_64": Machine(0, 0xC000003E, 317, 41, 53, 56, 435, 157, 62, 234, 302, foreign=0x40000000),
    "aarch64": Machine(1, 0xC00000B7, 277, 198, 199, 220, 435, 167, 129, 131, 261),
}
_Step = tuple[int, int, int, int]  # what, how many to skip if so, and if not, the operand
_Block = list[_Step]
_FIRST: _Step = (_LOAD, 0, 0, _FIRST_ARGUMENT)
_ALLOWED: _Step = (_RETURN, 0, 0, _ALLOW)


def machine() -> Machine | None:
    """This one, or None where its calls are not known here."""
    known = os.uname().sysname == "Linux" and struct.calcsize("P") == 8  # a process of 32 bits numbers them otherwise
    return MACHINES.get(platform.machine()) if known else None


def filtered() -> bool:
    """Whether a filter is on: this one, or one that was there before."""
    return party_boot.prctl(PR_GET_SECCOMP) == FILTERED


def install(programs: bool, addresses: bool = False) -> int | None:
    """Refuse from now on, in all threads; returns how many calls, or None where this machine's are not known. Raises
    OSError where the system does not do it. addresses: it may ask for those of its machine, as JAX does that meets
    other processes."""
    here = machine()
    if here is None:
        return None
    made = program(here, programs, addresses)
    code = ctypes.create_string_buffer(made, len(made))
    head = struct.pack("@HxxxxxxQ", len(made) // 8, ctypes.addressof(code))
    found = ctypes.CDLL(None, use_errno=True).syscall(here.seccomp, _SET_MODE_FILTER, _ALL_THREADS, head)
    if found or not filtered():  # the number of a thread that has another filter, or -1
        number = ctypes.get_errno() if found < 0 else errno.EBUSY
        raise OSError(number, f"the kernel sets no filter of system calls: {os.strerror(number)}")
    return len(here.refused(programs))


def program(here: Machine, programs: bool, addresses: bool = False) -> bytes:
    """The filter, as the kernel takes it."""
    block: _Block = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, here.audit), _fails(errno.EPERM)]
    block.append((_LOAD, 0, 0, _NUMBER))
    if here.foreign is not None:
        block += [(_AT_LEAST, 0, 1, here.foreign), _fails(errno.EPERM)]
    for number in here.refused(programs).values():
        block += [(_EQUAL, 0, 1, number), _fails(errno.EPERM)]
    # Its arguments lie in memory, where a filter cannot see them: the C library makes threads by `clone` then.
    block += [(_EQUAL, 0, 1, here.clone3), _fails(errno.ENOSYS)]
    rules = {
        here.clone: _cloning(programs),
        here.socket: _talking(addresses),
        here.socketpair: _talking(),
        here.prctl: [_FIRST, (_EQUAL, 0, 1, _DUMPABLE), _fails(errno.EPERM), _ALLOWED],
        here.kill: _to_itself(),
        here.tgkill: _to_itself(),
        here.prlimit64: _to_itself(0),
    }
    for call, rule in rules.items():
        block += [(_EQUAL, 0, len(rule), call), *rule]
    block.append(_ALLOWED)
    return b"".join(struct.pack("=HBBI", *step) for step in block)


def _fails(number: int) -> _Step:
    return _RETURN, 0, 0, _ERROR | number


def _one_of(arguments: Iterable[int]) -> _Block:
    """Of calls whose first argument is one of these."""
    wanted = tuple(arguments)
    return [_FIRST, *((_EQUAL, len(wanted) - n, 0, x) for n, x in enumerate(wanted)), _fails(errno.EPERM), _ALLOWED]


def _to_itself(*others: int) -> _Block:
    """Of calls that name a process first: this one alone, or what else stands for it."""
    return _one_of((os.getpid(), *others))


def _cloning(programs: bool) -> _Block:
    """Threads; other processes where programs may be started; none with namespaces of its own."""
    if programs:
        return [_FIRST, (_ANY_OF, 0, 1, _CLONE_NEW), _fails(errno.EPERM), _ALLOWED]
    flags: _Block = [(_ANY_OF, 1, 0, _CLONE_NEW), (_ANY_OF, 1, 0, _CLONE_THREAD)]
    return [_FIRST, *flags, _fails(errno.EPERM), _ALLOWED]


def _talking(addresses: bool = False) -> _Block:
    """Sockets of the internet and of this machine alone. addresses: and those by which the kernel is asked for the
    addresses of the machine, which change nothing without the rights of root."""
    usual = _one_of(map(int, _FAMILIES))
    if not addresses:
        return usual
    ask: _Block = [(_LOAD, 0, 0, _THIRD_ARGUMENT), (_EQUAL, 0, 1, _NETLINK_ROUTE), _ALLOWED, _fails(errno.EPERM)]
    return [_FIRST, (_EQUAL, 0, len(ask), socket.AF_NETLINK), *ask, *usual]
