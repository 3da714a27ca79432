"""A small engine for the tests of the runtime: it knows a few programs by name and needs no compiler.

A program's text is a line such as `sum rounds=3`. Each party's input arrays are its pieces.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import signal
import sys

import numpy as np

from jmpc.errors import ProgramError
from jmpc.ring.keys import MaskKeys
from jmpc.runtime.channel import Channel


def _pass_around(channel: Channel, arrays: list[np.ndarray], rounds: int, start: int = 0) -> list[np.ndarray]:
    """Every party passes its arrays to the next one, `rounds` times."""
    specs = [(array.shape, array.dtype) for array in arrays]
    for round_no in range(start, start + rounds):
        nxt, prv = (channel.party + 1) % 3, (channel.party - 1) % 3
        arrays = channel.exchange(round_no, {nxt: arrays}, {prv: specs})[prv]
    return arrays


class RingEngine:
    def __init__(self, party: int, salt: str = "") -> None:
        self.party, self.salt = party, salt
        self.programs: dict[str, dict[str, str]] = {}
        self.compiled: set[str] = set()

    def load(self, text: str) -> str:
        name, *options = text.split()
        if name not in _PROGRAMS:
            raise ProgramError("no such program", where="line 1")
        digest = hashlib.sha256((text + self.salt).encode()).hexdigest()
        self.programs[digest] = {"name": name, **dict(option.split("=") for option in options)}
        return digest

    def unload(self, program_hash: str) -> None:
        del self.programs[program_hash]

    def compile(self, program_hash: str) -> None:
        self.compiled.add(program_hash)

    def run(
        self, program_hash: str, channel: Channel, mask_keys: MaskKeys, inputs: list[np.ndarray]
    ) -> list[np.ndarray]:
        assert program_hash in self.compiled
        options = self.programs[program_hash]
        return _PROGRAMS[options["name"]](self.party, channel, mask_keys, inputs, options)


def _sum(party, channel, keys, inputs, options):
    """The sum of all parties' pieces, by passing them twice around the ring."""
    first = _pass_around(channel, inputs, 1)
    second = _pass_around(channel, first, 1, start=1)
    return [a + b + c for a, b, c in zip(inputs, first, second, strict=True)]


def _ring(party, channel, keys, inputs, options):
    return _pass_around(channel, inputs, int(options["rounds"]))


def _local(party, channel, keys, inputs, options):
    return [array * array.dtype.type(2) for array in inputs]


def _keys(party, channel, keys, inputs, options):
    """A digest of each mask key: what a test may see of them."""
    return [np.frombuffer(hashlib.sha256(key).digest(), np.uint8) for key in _around(party, keys)]


def _around(party, keys):
    """Of the next party, then of the previous one."""
    return [keys[(party + step) % 3] for step in (1, -1)]


def _fault(party, channel, keys, inputs, options):
    """Rounds around the ring, in one of which one party fails in the way that the program names."""
    arrays = inputs
    for round_no in range(int(options["rounds"])):
        if party == int(options["party"]) and round_no == int(options["round"]):
            how = options["how"]
            if how == "raise":
                raise ValueError(f"secret value {int(inputs[0].reshape(-1)[0])}")
            if how == "wrong":
                arrays = [np.zeros(array.size + 1, array.dtype) for array in arrays]
            elif how == "round":
                round_no += 7
            else:
                os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[how])
        arrays = _pass_around(channel, arrays, 1, start=round_no)
    return arrays


def _endless(party, channel, keys, inputs, options):
    """More rounds than anybody waits for. Each party tells that it is among them: it makes the file TOLD.PARTY."""
    for round_no in range(1_000_000):
        inputs = _pass_around(channel, inputs, 1, start=round_no)
        if round_no == 3:
            open(f"{options['told']}.{party}", "w").close()
    return inputs


def _myself(party, channel, keys, inputs, options):
    """What the process of this party is like, as JSON."""
    told = {
        "environment": dict(os.environ),
        "path": sys.path,
        "folder": os.getcwd(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0),  # PR_GET_DUMPABLE
        "no_new_privileges": ctypes.CDLL(None).prctl(39, 0, 0, 0, 0),  # PR_GET_NO_NEW_PRIVS
        "umask": os.umask(0o077),
        "writes_code": not sys.dont_write_bytecode,
        "modules": {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()},
    }
    return [np.frombuffer(json.dumps(told).encode(), np.uint8)]


_PROGRAMS = {
    "myself": _myself,
    "sum": _sum,
    "ring": _ring,
    "local": _local,
    "keys": _keys,
    "fault": _fault,
    "endless": _endless,
}


def make_engine(party: int) -> RingEngine:
    return RingEngine(party)


def make_odd_engine(party: int) -> RingEngine:
    """Party 2 reads every program differently."""
    return RingEngine(party, "another program" if party == 2 else "")


def make_nothing(party: int) -> RingEngine:
    raise OSError("no engine today")
