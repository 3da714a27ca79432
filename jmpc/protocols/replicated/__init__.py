"""Three-party replicated secret sharing, semi-honest, honest majority (ABY3 style).

One file a subject; importing this package registers its protocols.
"""

from jmpc.protocols.replicated import (
    bits,
    compare,
    convert,
    exponent,
    exponential,
    logic,
    multiply,
    onehot,
    periodic,
    radix,
    share,
    shuffle,
    truncate,
    wrap,
)

__all__ = [
    "bits",
    "compare",
    "convert",
    "exponent",
    "exponential",
    "logic",
    "multiply",
    "onehot",
    "periodic",
    "radix",
    "share",
    "shuffle",
    "truncate",
    "wrap",
]
