"""The settings of a program: frozen, checked when made, part of the program's hash.

What goes in: the user's choices. What comes out: a `Config`, the same for all three parties.
Not here: where the parties run (`jmpc.processes`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from jmpc.errors import ConfigError


@dataclass(frozen=True)
class Network:
    """What a round and a byte cost between two parties: latency in seconds one way, bandwidth in bytes a second."""

    name: str
    latency_s: float
    bandwidth: float

    def seconds(self, rounds: float, bytes_sent: float) -> float:
        """Predicted time on the wire of `rounds` rounds in which the busiest party sends `bytes_sent` bytes."""
        return rounds * self.latency_s + bytes_sent / self.bandwidth


NETWORKS = {
    "local": Network("local", 60e-6, 1.5e9),
    "lan": Network("lan", 150e-6, 1.25e9),
    "metro": Network("metro", 2.5e-3, 125e6),
    "wan": Network("wan", 20e-3, 12.5e6),
}
PROTOCOLS = {"aby3"}  # the families that are known here: `jmpc.families.register` adds to them
RINGS = (32, 64)
AES, CHACHA20 = "aes", "chacha20"
PRFS = (AES, CHACHA20)
ERROR = 1e-4  # the default budget, at which `docs/operations.md` states errors
LARGEST_ERROR = 1e-2
LEAST_ERROR = 2.0**-18  # below this, roundings inside approximations are more


@dataclass(frozen=True)
class Config:
    """Number format, protocol family and cost model of a secure function.

    k: ring bits, 64 or 32.  f: fraction bits of fixed-point numbers.  protocol: the protocol family.
    network: the profile by which protocols are chosen: "local", "lan", "metro" or "wan".
    failure_bits: the whole program fails (a large truncation error) with probability below 2^-failure_bits.
    error: the budget of approximations: sigmoid, tanh, erf, log, sqrt and rsqrt are off by at most this, gelu, silu,
    softplus and softmax by three times this, and each by a rounding of up to 2^-(f - 2). A larger budget makes programs
    cheaper. From 2^-(f - 2), but 2^-18 is the least, and 1e-4 is always possible, to 1e-2. exp, sin and cos are as
    exact as the number format whatever the budget.
    prf: what draws the masks, the same at all three parties: "aes" (AES-128 in counter mode, by the CPU), or
    "chacha20", for parties with accelerators, which draw it inside the compiled program; a CPU can serve it too.
    check: compare each call with plain JAX, in this process alone: the results of the program that ships, which is run
    as it is, within `tolerance` (absolute plus relative), and each value, in every step of a loop, with the bound that
    was declared or assumed of it. A fault names the first operation that differs, or the pass of the compiler, and what
    would help. For development: it costs the work twice, loops step by step in Python, and where something is wrong
    several more runs, of programs that give all their values away and of the settings that it then advises. All that is
    seen by the caller, whose process simulates the parties and has everybody's arguments: not for anybody's real data.

    Raises ConfigError where a setting is out of range, naming its key.
    """

    k: int = 64
    f: int = 18
    protocol: str = "aby3"
    network: str = "lan"
    failure_bits: int = 40
    error: float = ERROR
    prf: str = AES
    check: bool = False
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        _need(
            type(self.k) is int and self.k in RINGS,
            "k",
            self.k,
            f"the ring has {' or '.join(map(str, RINGS))} bits",
            "use 64",
        )
        _need(
            type(self.f) is int and 1 <= self.f <= (self.k - 8) // 2,
            "f",
            self.f,
            "a product has 2f fraction bits, a sign and a gap bit, and some bits must be left for the value",
            f"use 1 to {(self.k - 8) // 2} (18 for k=64, 10 for k=32)",
        )
        known = ", ".join(sorted(PROTOCOLS))
        named = self.protocol in list(PROTOCOLS)
        _need(named, "protocol", self.protocol, "no such protocol family", f"use one of {known}")
        _need(
            self.network in list(NETWORKS), "network", self.network, "no such profile", f"use one of {sorted(NETWORKS)}"
        )
        _need(
            type(self.failure_bits) is int and 1 <= self.failure_bits <= 128,
            "failure_bits",
            self.failure_bits,
            "it is the exponent of a probability",
            "use 40",
        )
        _need(
            type(self.error) is float and self.least_error <= self.error <= LARGEST_ERROR,
            "error",
            self.error,
            "below this range rounding is the larger error, above it approximations say little",
            f"use {self.least_error:.2g} to {LARGEST_ERROR}, as a float",
        )
        _need(self.prf in PRFS, "prf", self.prf, "no such pseudo-random function", f"use one of {list(PRFS)}")
        _need(type(self.check) is bool, "check", self.check, "it is on or off", "use True or False")
        number = type(self.tolerance) in (int, float) and self.tolerance > 0
        _need(number, "tolerance", self.tolerance, "it is an error bound", "use 1e-3")

    @property
    def value_bits(self) -> int:
        """log2 of the contract of the number format: |x| < 2^value_bits, so that a product keeps its gap bit."""
        return self.k - 2 - 2 * self.f

    @property
    def least_error(self) -> float:
        """The smallest error budget: what roundings leave of the precision asked for, or the default."""
        return min(max(2.0 ** -(self.f - 2), LEAST_ERROR), ERROR)

    @property
    def profile(self) -> Network:
        return NETWORKS[self.network]

    def replace(self, **changes: object) -> Config:
        return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]  (checked by __post_init__)

    def header(self) -> tuple[tuple[str, object], ...]:
        """What the parties must agree on, in a fixed order; check mode is the caller's own affair."""
        fields = ("k", "f", "protocol", "network", "failure_bits", "error", "prf")
        return tuple((name, getattr(self, name)) for name in fields)


def _need(holds: bool, key: str, value: object, why: str, todo: str) -> None:
    if not holds:
        raise ConfigError(f"jmpc.Config: {key}={value!r} is not possible", where=f"Config.{key}", why=why, todo=todo)
