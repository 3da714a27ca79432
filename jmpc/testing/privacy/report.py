"""What a privacy check says when it fails, and the words that all three levels share.

What goes in: who sees what, and which statistic spoke. What comes out: a `PrivacyError`, an AssertionError that names
the observer, the message (round, op, the line of the protocol and of the user), the keys of masks in question and the
statistic. It holds no share and no secret; but the exact level, which goes through all inputs that there are, shows two
of them, and what the observer then sees.

An observer is a party, together with the clients that learn an output if there are any: a party may be one of
them. `CLIENTS` is the clients alone, who know no key and hold no share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from jmpc import _jax
from jmpc.families.family import Family
from jmpc.ir.program import Program
from jmpc.ir.text import print_program
from jmpc.party.program import Traced, output_widths
from jmpc.party.protocol_line import protocol_line
from jmpc.roles import Role
from jmpc.testing.simulator.lockstep import Message

CLIENTS = -1


class PrivacyError(AssertionError):
    """A view that tells more than it should or, at the structural level, of which nothing is proved.

    level: "exact", "statistical" or "structural".  message: what brought it, and the line of its protocol.  details:
    more lines, such as the keys of masks, or two inputs with what is seen of them.
    """

    def __init__(self, level: str, observer: int, message: str, statistic: str, details: Sequence[str] = ()) -> None:
        self.level, self.observer, self.message, self.statistic = level, observer, message, statistic
        self.details = tuple(details)
        proof = level == "structural"
        found = f"not proved private from {who(observer)}" if proof else f"{who(observer)} learns something"
        lines = [f"message: {message}", *details, f"level: {level}"]
        super().__init__("\n  ".join([f"{found}: {statistic}", *lines]))


def who(observer: int) -> str:
    return "the receiver of the outputs" if observer == CLIENTS else f"party {observer}"


def to_clients(program: Program, flat: Sequence[Sequence[Any]], senders: Sequence[int]) -> list[Message]:
    """The summand of each output that leaves for a client, by sender. flat: the results of each party."""
    found, last, at = [], len(program.body.ops), [0] * len(flat)
    for n, (widths, output) in enumerate(zip(output_widths(program), program.outputs, strict=True)):
        if output.receiver != Role.SECRET and program.body.results[n].type.secret:
            sent = [(p, i) for p in senders for i in range(widths[p])]
            found += [Message(p, CLIENTS, ((), (last, n)), 0, flat[p][at[p] + i]) for p, i in sent]
        at = [start + width for start, width in zip(at, widths, strict=True)]
    return found


def free_senders(observer: int, family: Family) -> list[int]:
    """Whose summands of an output are not determined by the output, the observer's own, and those of these."""
    senders = [p for p in range(family.parties) if family.sent[p]]
    at = (senders.index(observer) if observer in senders else -1) + 1
    others = [p for p in (*senders[at:], *senders[:at]) if p != observer]
    return others[: len(others) - 1] if observer != CLIENTS else senders[1:]


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
    said = f"from party {sender}{at}, exchange {use} of op {number} ({op}){loops}, {loc or 'no line of the user'}"
    line = _protocol_line(made[sender], name)
    return f"{said}\n  protocol: {line}" if line else said


def describe_mask(pair: Sequence[int], name: Any) -> str:
    """A mask by its number in its op, and the key that it is drawn with."""
    number, use = name
    return f"mask {use} of op {number}, of the key of parties {' and '.join(map(str, pair))}"


def _protocol_line(traced: Traced, name: Any) -> str:
    """The line that made an exchange: the innermost one of a protocol, in the author's file if it is there."""
    path, exchange = name
    for op in path[::2]:
        traced = _body(traced, op)
    for eqn in traced.jaxpr.eqns:
        if eqn.primitive.name == "exchange" and eqn.params["name"] == exchange:
            return protocol_line(_jax.frames(eqn))
    return ""


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


def opened_by(messages: Sequence[Message], made: Sequence[Traced], openings: Collection[str]) -> dict[Any, str]:
    """Exchanges in which one party hears from both others, of ops that open: by name, the op. messages: of all."""
    heard = Counter((m.name, m.receiver) for m in messages)
    found, parties = {}, range(len(made))
    for name in dict.fromkeys(m.name for m in messages if m.receiver in parties):
        op = op_of(made, 0, name)
        if op in openings and any(heard[name, party] == 2 for party in parties):
            found[name] = op
    return found
