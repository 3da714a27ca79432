"""Speed of a party's store: `python -m bench.storage [--megabytes 512] [--folder FOLDER]`.

Measures CPU seconds and seconds on the clock of putting a value of two arrays, of loading it, and of putting and
loading small ones; beside them AES-GCM alone, on as many bytes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from jmpc.store import Description, StorageKey, Store
from jmpc.store.sealed import CHUNK_BYTES

SMALL = 200


def seconds(action: Callable[[], object]) -> tuple[float, float]:
    """CPU and clock."""
    cpu, clock = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - cpu, time.perf_counter() - clock


def cipher(size: int) -> None:
    """As many bytes as the value has, sealed."""
    key, data, out = AESGCM(os.urandom(32)), bytes(CHUNK_BYTES), bytearray(CHUNK_BYTES + 16)
    for _ in range(size // CHUNK_BYTES):
        key.encrypt_into(os.urandom(12), data, b"", out)


def measure(folder: Path, megabytes: int) -> None:
    key = StorageKey(os.urandom(32))
    Store.create(folder / "store", key)
    half = np.arange(megabytes * (1 << 20) // 16, dtype=np.uint64)
    small = {"0": half[:100], "1": half[:100]}
    with Store.open(folder / "store", key) as store:
        large = Description("large", "alice", "arith", half.shape, 64)
        actions: dict[str, Callable[[], object]] = {
            "AES-256-GCM": lambda: cipher(megabytes << 20),
            "put": lambda: store.put(large, {"0": half, "1": half}),
            "load": lambda: store.load("large"),
        }
        for name, action in actions.items():
            cpu, clock = seconds(action)
            rates = [megabytes / 1024 / spent for spent in (cpu, clock)]
            print(f"{name:12} {rates[0]:6.2f} GB/s of CPU {rates[1]:6.2f} GB/s by the clock")
        names = [f"v{n}" for n in range(SMALL)]
        some = {
            "small put": lambda: [store.put(Description(n, "alice", "arith", (100,), 64), small) for n in names],
            "small load": lambda: [store.load(n) for n in names],
        }
        for name, action in some.items():
            cpu, clock = seconds(action)
            print(f"{name:12} {1e3 * cpu / SMALL:6.2f} ms of CPU   {1e3 * clock / SMALL:6.2f} ms by the clock")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.storage", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="where the store is made, on the disk that is measured")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        measure(Path(folder), asked.megabytes)


if __name__ == "__main__":
    main()
