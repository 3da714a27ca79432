"""Which protocol for which op: by rounds times latency plus bytes over bandwidth, as `predict` has it.

What goes in: the configuration, sizes and widths. What comes out: block sizes and yes-or-no answers. Choices depend on
public data only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from jmpc.config import Config
from jmpc.families.protocol import Cost
from jmpc.families.replicated3.lowering.predict import PREDICTED
from jmpc.families.replicated3.protocols.compare import MAX_BLOCK
from jmpc.ir.program import Program, walk
from jmpc.ir.types import Type, secret_bits, secret_fixed


@dataclass(frozen=True)
class Choice:
    """The choices for one program. truncations: elements truncated in all its runs of loops, for the failure budget."""

    config: Config
    truncations: int

    def seconds(self, cost: Cost) -> float:
        return self.config.profile.seconds(cost.rounds, cost.busiest)

    def sign_block(self, size: int, width: int) -> int:
        return _best_block("msb", size, width, self.config)

    def zero_block(self, size: int, width: int) -> int:
        return _best_block("zero_test", size, width, self.config)

    def bits_block(self, size: int, start: int, width: int) -> int:
        return _best_block("bits_of", size, width, self.config, start)

    def use_dabit(self, size: int) -> bool:
        """A dabit saves a round and costs more bytes; made outside the critical path, its rounds are free."""
        x = secret_fixed((size,), 0, 1)
        plain = _cost("inject", (secret_bits((size,)), x), {}, self.config)
        opened = _cost("inject_dabit", (secret_bits((size,)), secret_bits((size,)), x, x), {}, self.config)
        made = _cost("dabit", (), {"shape": (size,)}, self.config)
        offline = Cost(0, made.bytes_sent)
        return self.seconds(opened + offline) < self.seconds(plain)

    def truncate_locally(self, t: Type) -> bool:
        """T1 only where the whole program fails with probability below 2^-failure_bits."""
        odds = self.truncations * t.limit * (1 << self.config.failure_bits)
        return odds <= 1 << self.config.k

    def one_shot(self, candidates: int, columns: int, width: int) -> bool:
        """All pairs at once, rather than one level of a tree at a time."""
        if candidates < 3 or candidates > 32:
            return False
        return self._one_shot_seconds(candidates, columns, width) < self._tree_seconds(candidates, columns, width)

    def _sign(self, size: int, width: int) -> Cost:
        t = secret_fixed((size,), 0, 1)
        return _cost("msb", (t,), {"width": width, "drop": 0, "block": self.sign_block(size, width)}, self.config)

    def _select(self, size: int) -> Cost:
        t = secret_fixed((size,), 0, 1)
        if self.use_dabit(size):
            return _cost("inject_dabit", (t,) * 4, {}, self.config)
        return _cost("inject", (t, t), {}, self.config)

    def _one_shot_seconds(self, n: int, columns: int, width: int) -> float:
        pairs = n * (n - 1) // 2 * columns
        levels = (n - 2).bit_length()
        ands = _cost("and", (secret_bits(((n - 2) * n * columns,)),), {}, self.config)
        rounds = Cost(levels - 1 if levels else 0, (0, 0, 0))
        total = self._sign(pairs, width + 1) + ands + rounds + self._select(n * columns)
        return self.seconds(total) + pairs * LOCAL_SECONDS

    def _tree_seconds(self, n: int, columns: int, width: int) -> float:
        total = 0.0
        while n > 1:
            size = n // 2 * columns
            total += self.seconds(self._sign(size, width + 1) + self._select(size)) + size * LOCAL_SECONDS
            n -= n // 2
        return total


LOCAL_SECONDS = 60e-9  # work of a party on one comparison, measured over a million


def for_program(program: Program) -> Choice:
    counted = 0
    for op in walk(program.body):
        if op.name == "truncate":
            counted += op.output.type.size
    loops = [op.attrs["trip"] for op in walk(program.body) if op.name == "loop"]
    for trip in loops:
        counted *= max(trip, 1)
    return Choice(program.config, max(counted, 1))


def _cost(op: str, types: tuple[Type, ...], attrs: dict[str, object], config: Config) -> Cost:
    return PREDICTED[op](types, attrs, config)


@lru_cache(maxsize=4096)
def _best_block(op: str, size: int, width: int, config: Config, start: int = 0) -> int:
    t = secret_fixed((size,), 0, 1)

    def seconds(block: int) -> float:
        cost = _cost(op, (t,), {"start": start, "width": width, "drop": 0, "block": block}, config)
        return config.profile.seconds(cost.rounds, cost.busiest)

    return min(range(1, MAX_BLOCK + 1), key=seconds)
