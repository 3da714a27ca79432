"""What a privacy check says when it fails, and the words that all three levels share.

What goes in: who sees what, and which statistic spoke. What comes out: a `PrivacyError`, an AssertionError that names
the observer, the message (round, op, the user's line) and the statistic; never a share or a secret.

An observer is party 0, 1 or 2, together with the clients that learn an output if there are any: a party may be one of
them. `CLIENTS` is the clients alone, who know no key and hold no share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from jmpc.ir.program import Program
from jmpc.ir.text import print_program
from jmpc.party.program import SECRET_OUTPUT, Traced
from jmpc.testing.simulate import Message

CLIENTS = 3
PARTIES = (0, 1, 2)
OPENINGS = {  # ops that show all parties a value which no mask hides
    "permute": "the places of shuffled elements: the order times a uniform one",
    "radix_rank": "the places of shuffled elements, in each pass",
}


class PrivacyError(AssertionError):
    """A view that tells more than it should. level: "exact", "statistical" or "structural"."""

    def __init__(self, level: str, observer: int, message: str, statistic: str) -> None:
        self.level, self.observer, self.message, self.statistic = level, observer, message, statistic
        super().__init__(f"{who(observer)} learns something: {statistic}\n  message: {message}\n  level: {level}")


def who(observer: int) -> str:
    return "the receiver of the outputs" if observer == CLIENTS else f"party {observer}"


def to_clients(program: Program, flat: Sequence[Sequence[Any]], senders: Sequence[int]) -> list[Message]:
    """The summand of each output that leaves for a client, by sender. flat: the results of each party."""
    found, at, last = [], 0, len(program.body.ops)
    for n, (value, output) in enumerate(zip(program.body.results, program.outputs, strict=True)):
        kept = output.receiver == SECRET_OUTPUT
        if not kept and value.type.secret:
            found += [Message(p, CLIENTS, ((), (last, n)), 0, flat[p][at]) for p in senders]
        at += 2 if kept and value.type.pairs else 1
    return found


def free_senders(observer: int) -> list[int]:
    """Whose summands of an output are not determined by the output, the observer's own, and those of these."""
    return [1, 2] if observer == CLIENTS else [(observer + 1) % 3]


def op_of(made: Sequence[Traced], sender: int, name: Any) -> str:
    """The op of a message. name: (path of loops, (op number, use)), as the simulator gives it."""
    return _where(made, sender, name)[0]


def _where(made: Sequence[Traced], sender: int, name: Any) -> tuple[str, str]:
    """Op, and the user's line."""
    path, (number, _) = name
    traced = made[sender]
    for op in path[::2]:
        traced = _body(traced, op)
    return traced.locs[number]


def describe(made: Sequence[Traced], sender: int, name: Any, depth: int | None = None) -> str:
    """A message in words."""
    path, (number, use) = name
    op, loc = _where(made, sender, name)
    loops = "".join(f", iteration {step}" for step in path[1::2])
    at = f" in round {depth}" if depth else ""
    return f"from party {sender}{at}, exchange {use} of op {number} ({op}){loops}, {loc or 'no line of the user'}"


def _body(traced: Traced, op: Any) -> Traced:
    for eqn in traced.jaxpr.eqns:
        if eqn.primitive.name == "party_loop" and eqn.params["name"] == op:
            return eqn.params["body"]
    raise AssertionError(f"no loop is op {op}")


def check_same_program(one: Program, other: Program, level: str) -> None:
    """Two calls with arguments of the same shapes must run the same: the parties would see a difference."""
    mine, theirs = (print_program(p).splitlines() for p in (one, other))
    if mine != theirs:
        n = next((n for n, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs)))
        raise PrivacyError(level, 0, f"line {n + 1} of the program", "two calls do not make the same program")


def opened_by(messages: Sequence[Message], made: Sequence[Traced]) -> dict[Any, str]:
    """Exchanges in which one party hears from both others, of ops that open: by name, the op. messages: of all."""
    heard = Counter((m.name, m.receiver) for m in messages)
    found = {}
    for name in dict.fromkeys(m.name for m in messages if m.receiver in PARTIES):
        op = op_of(made, 0, name)
        if op in OPENINGS and any(heard[name, party] == 2 for party in PARTIES):
            found[name] = op
    return found
