"""Three-party replicated secret sharing, semi-honest, honest majority (ABY3 style).

One file a subject; `PROTOCOLS` has what all of them enter.
"""

from jmpc.families.replicated3.protocols import (
    bits,
    chances,
    compare,
    convert,
    counts,
    exponent,
    exponential,
    logic,
    multiply,
    onehot,
    pairs,
    periodic,
    radix,
    random,
    share,
    shuffle,
    truncate,
    wrap,
)
from jmpc.families.replicated3.table import PROTOCOLS

__all__ = [
    "PROTOCOLS",
    "bits",
    "chances",
    "compare",
    "convert",
    "counts",
    "exponent",
    "exponential",
    "logic",
    "multiply",
    "onehot",
    "pairs",
    "periodic",
    "radix",
    "random",
    "share",
    "shuffle",
    "truncate",
    "wrap",
]
