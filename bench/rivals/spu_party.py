"""One SPU party: it holds shares and an executable, runs it, and counts what it sent.

In: a link to the two others, an executable and this party's shares. Out: seconds, CPU seconds, traffic, output shares.
Used as three threads over SPU's memory link, and as three processes over its brpc link (`python -m
bench.rivals.spu_party RANK PORT PORT PORT`, its own port and where it reaches the others; requests as JSON lines). It
neither compiles nor makes shares.
"""

from __future__ import annotations

import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import spu  # pyright: ignore[reportMissingImports]
from spu import libspu  # pyright: ignore[reportMissingImports]

from bench import lines

_TRAFFIC = re.compile(r"Link details: total send bytes (\d+), recv bytes \d+, send actions (\d+)")


def log_to(path: Path) -> None:
    """Send SPU's log, where it reports traffic, to a file instead of the console."""
    options = libspu.logging.LogOptions()
    options.enable_console_logger = False
    options.system_log_path = str(path)
    libspu.logging.setup_logging(options)


def traffic_in(log: Path, start: int) -> list[tuple[int, int]]:
    """(bytes, sends) of each profiled run that the log reports from this position on."""
    return [(int(sent), int(sends)) for sent, sends in _TRAFFIC.findall(log.read_text()[start:])]


def configuration(profile: bool = False, accurate: bool = False) -> Any:
    """ABY3 on a 64-bit ring, everything else as SPU sets it (18 fraction bits). accurate: exponentials too."""
    config = libspu.RuntimeConfig(protocol=libspu.ProtocolKind.ABY3, field=libspu.FieldType.FM64)
    config.enable_pphlo_profile = profile
    if accurate:
        config.fxp_exp_mode = libspu.RuntimeConfig.ExpMode.EXP_PADE
    return config


class Party:
    """The runtime of one party, loaded with one program at a time."""

    def __init__(self, link: Any) -> None:
        self._link = link
        self._runtime: Any = None
        self._executable: Any = None

    def load(self, executable: Any, shares: list[Any], profile: bool, accurate: bool) -> None:
        """A fresh runtime that holds the input shares."""
        self._executable = executable
        self._runtime = spu.Runtime(self._link, configuration(profile, accurate))
        for name, share in zip(executable.input_names, shares, strict=True):
            self._runtime.set_var(name, share)

    def run(self) -> float:
        """Seconds of one execution, all parties starting together."""
        self._link.barrier()
        start = time.perf_counter()
        self._runtime.run(self._executable)
        return time.perf_counter() - start

    def outputs(self) -> list[Any]:
        """This party's shares of the outputs of the latest run."""
        return [self._runtime.get_var(name) for name in self._executable.output_names]

    def close(self) -> None:
        self._runtime = None
        self._link.stop_link()


def save_shares(path: Path, shares: list[Any]) -> None:
    """Write shares as plain bytes, so that nothing is pickled."""
    arrays = {}
    for i, share in enumerate(shares):
        for j, part in enumerate([share.meta, *share.share_chunks]):
            arrays[f"{i:03d}.{j:06d}"] = np.frombuffer(part, np.uint8)
    np.savez(path, allow_pickle=False, **arrays)


def load_shares(path: Path) -> list[Any]:
    """Read back what `save_shares` wrote."""
    parts: dict[str, list[bytes]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name in sorted(arrays.files):
            parts.setdefault(name.split(".")[0], []).append(arrays[name].tobytes())
    shares = []
    for meta, *chunks in parts.values():
        share = libspu.Share()
        share.meta, share.share_chunks = meta, chunks
        shares.append(share)
    return shares


def user_seconds() -> float:
    """CPU seconds in user mode of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def brpc_link(rank: int, ports: list[int]) -> Any:
    """The link of one real process, over SPU's own transport with its default options."""
    description = libspu.link.Desc()
    description.id = "bench"
    for party, port in enumerate(ports):
        description.add_party(f"party_{party}", f"127.0.0.1:{port}")
    return libspu.link.create_brpc(description, rank)


def _serve(rank: int, ports: list[int]) -> None:
    answers = lines.take_output()
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "spu.log"
        log_to(log)
        party: list[Party] = []

        def handle(request: lines.Answer) -> lines.Answer:
            if request["do"] == "connect":
                party.append(Party(brpc_link(rank, ports)))
                return {}
            if request["do"] == "load":
                return _load(party[0], request, log)
            if request["do"] == "run":
                before = user_seconds()
                seconds = party[0].run()
                return {"seconds": seconds, "cpu_seconds": user_seconds() - before}
            save_shares(Path(request["path"]), party[0].outputs())
            return {}

        lines.serve(handle, answers)
        for each in party:
            each.close()


def _load(party: Party, request: lines.Answer, log: Path) -> lines.Answer:
    executable = libspu.Executable()
    executable.ParseFromString(Path(request["executable"]).read_bytes())
    shares = load_shares(Path(request["shares"]))
    start = len(log.read_text())
    accurate = bool(request["accurate"])
    party.load(executable, shares, profile=True, accurate=accurate)
    party.run()
    sent, sends = traffic_in(log, start)[0]
    party.load(executable, shares, profile=False, accurate=accurate)
    return {"bytes_sent": sent, "sends": sends}


if __name__ == "__main__":
    _serve(int(sys.argv[1]), [int(port) for port in sys.argv[2:5]])
