"""Three-party replicated secret sharing, semi-honest, honest majority (ABY3 style).

One file a subject; importing this package registers its protocols.
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

__all__ = [
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
