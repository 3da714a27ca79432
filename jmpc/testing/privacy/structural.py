"""Privacy, structural: a proof by one-time pads that what a party receives tells nothing, without running anything.

What goes in: a share-level program. What comes out: a `Structural` record, or a `PrivacyError`.

    check_private_structural(program)
    check_private_structural(secured, (x,), (y,))          # and the two calls make the same program

What is checked, for each observer:
- *Masks.* A party draws each mask under a name of its own, only with keys that it has; two ends of a key agree on
  each mask's shape.
- *Messages.* But for those that the observer's own shares and masks determine, they can be put in an order in which
  each is sealed (`pads.py`) by masks of keys that the observer does not have and on which no message before it
  depends. Then each is uniform given those before it, whatever the inputs and however they were shared: this is a
  proof, at any ring width, that the view can be simulated. Failing is not a proof of a leak: a protocol may hide by
  other means, and then the exact level has to say so.
- *Outputs.* The same with the summands that clients get, but one of each output, which the output determines.
- *Control.* No step, no trip count and no size depends on data that is not public. Two calls, if given, make the same
  program and the same trace of messages.

Some protocols open a value that is uniform by other means than a pad: places in an order that nobody knows. The
names their ops: two parties hold halves of the value, and in one exchange send them to each other and, under one cover,
to the third. What is proved then is that all else is uniform, given the opened values. That these say nothing is for
the exact level to show, on the part of the protocol that opens; `opened` counts them.

In a loop, a message must be sealed by masks of its own iteration; a few iterations are walked, and stand for all.
Not checked: that two names get different words of the key's stream, which is the plan's part (`party/cut.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jmpc import families
from jmpc.families.family import Family
from jmpc.ir.program import Program
from jmpc.ir.types import PLAIN, Type
from jmpc.party.program import Traced, input_type
from jmpc.ring.element import Ring
from jmpc.roles import Role
from jmpc.testing.privacy.pads import Abstract, DataDependent, PadMachine, PadMasks, Share, given
from jmpc.testing.privacy.report import (
    CLIENTS,
    PrivacyError,
    check_same_program,
    describe,
    describe_mask,
    free_senders,
    opened_by,
    to_clients,
)
from jmpc.testing.simulator.lockstep import Message, Report, run_traced, traces

if TYPE_CHECKING:
    from jmpc.api import Secured


MOST_NAMED = 4  # masks of a message


@dataclass(frozen=True)
class Structural:
    """What was walked. messages: of all parties, each proved uniform to its receiver or determined by what is opened.
    masks: names drawn.  opened: values opened, by op."""

    messages: int
    masks: int
    observers: int
    opened: Mapping[str, int] = field(default_factory=dict)


def check_private_structural(
    program: Program | Secured,
    args: Sequence[Any] | None = None,
    others: Sequence[Any] | None = None,
    *,
    protocols: Mapping[str, Any] | None = None,
) -> Structural:
    """Prove a program private. args, others: of two calls, where a secure function is given. Raises PrivacyError."""
    if not isinstance(program, Program):
        one = program.lower(*(args or ())).flow.share
        if others is not None:
            check_same_program(one, program.lower(*others).flow.share, "structural")
        program = one
    made = traces(program, protocols)
    check_masks(made)
    return _check_messages(program, made)


def check_masks(made: Sequence[Traced]) -> None:
    """Names of masks: one use each, by those who have the key, of one shape."""
    shapes: dict[Any, Any] = {}
    for party, traced in enumerate(made):
        drawn: Counter[Any] = Counter()
        for path, p, locs in mask_uses(traced):
            key = (path, p["pair"], p["name"])
            drawn[key] += 1
            spec = (tuple(p["shape"]), p["dtype"])
            where = f"mask {p['name'][1]} of op {p['name'][0]} ({locs[p['name'][0]][0]})"
            if drawn[key] > 1:
                raise PrivacyError("structural", party, where, "a mask is drawn twice under one name")
            if party not in p["pair"]:
                raise PrivacyError("structural", party, where, "a mask is drawn with the key of two others")
            if shapes.setdefault(key, spec) != spec:
                raise PrivacyError("structural", party, where, "the two ends of a key draw masks of different shapes")


def mask_uses(traced: Traced, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, dict[str, Any], Any]]:
    """Every mask equation of a party: the loops that it is in, what it draws, and the ops of its scope."""
    for eqn in traced.jaxpr.eqns:
        if eqn.primitive.name == "mask":
            yield path, eqn.params, traced.locs
        elif eqn.primitive.name == "party_loop":
            yield from mask_uses(eqn.params["body"], (*path, eqn.params["name"]))


def _check_messages(program: Program, made: Sequence[Traced]) -> Structural:
    try:
        masks, flat, report = _walked(program, made)
    except DataDependent as found:
        raise PrivacyError("structural", 0, "none", f"what runs depends on data: {found}") from None
    clients = any(o.receiver != Role.SECRET for o in program.outputs)
    observers = [*range(len(made)), *([CLIENTS] if clients else [])]
    family = families.of(program.config)
    opened = opened_by(report.messages, made, family.openings)
    for observer in observers:
        seen = [m for m in report.to(observer) if not _determined(m, opened, report)]
        _prove(observer, [*seen, *to_clients(program, flat, free_senders(observer, family))], masks.names, made)
    drawn = sum(not isinstance(name, Share) for name in masks.names)
    return Structural(len(report.messages), drawn, len(observers), dict(Counter(opened.values())))


def _walked(program: Program, made: Sequence[Traced]) -> tuple[PadMasks, list[list[Any]], Report]:
    """Walk it; again with masks cut, if that keeps more apart."""
    ring, cuts = Ring(program.config.k), dict[Any, frozenset[int]]()
    types = [input_type(p.type) for p in program.body.params]
    while True:
        masks, machine = PadMasks(cuts), PadMachine()
        held = [_held(families.of(program.config), masks, n, t, ring) for n, t in enumerate(types)]
        flat, report = run_traced(made, held, masks, machine)  # pyright: ignore[reportArgumentType]
        wanted = {name: frozenset(ends) | cuts.get(name, frozenset()) for name, ends in machine.wanted.items()}
        if wanted.items() <= cuts.items():
            return masks, flat, report
        cuts = {**cuts, **wanted}


def _held(family: Family, masks: PadMasks, n: int, t: Type, ring: Ring) -> list[list[Abstract]]:
    """What each party holds of an input."""
    shape, dtype = family.spec(t, ring)
    holds = family.form(t).holds
    if t.form == PLAIN:
        return [[given(shape, dtype, public=True)] for _ in holds]
    made = {
        c: masks.given(Share(n, c, tuple(p for p, mine in enumerate(holds) if c in mine)), shape, dtype)
        for c in range(family.form(t).summands)
    }
    return [[made[c] for c in mine] for mine in holds]


def _parts_of(messages: Sequence[Message]) -> list[Message]:
    """Each part of a message as one."""
    return [replace(m, array=part) for m in messages for part in (m.array.parts or (m.array,))]  # pyright: ignore[reportAttributeAccessIssue]


def _determined(message: Message, opened: Mapping[Any, str], report: Report) -> bool:
    """Of an opening, what the opened value determines: each other's half, and the second of two covered halves."""
    if message.name not in opened:
        return False
    heard = [m.sender for m in report.to(message.receiver) if m.name == message.name]
    return len(heard) == 1 or message.sender == heard[1]


def _prove(observer: int, messages: Sequence[Message], names: Sequence[Any], made: Sequence[Traced]) -> None:
    """Take away, one by one, a message that is sealed by masks on which no message that is left depends."""
    hidden = _bits(n for n, name in enumerate(names) if not isinstance(name, Share) and not _knows(observer, name))
    unknown = hidden | _bits(
        n for n, name in enumerate(names) if isinstance(name, Share) and not _knows(observer, name)
    )
    left = [m for m in _parts_of(messages) if m.array.size and m.array.deps & unknown]  # pyright: ignore[reportAttributeAccessIssue]
    uses = Counter(bit for m in left for bit in _each(m.array.deps & hidden))  # pyright: ignore[reportAttributeAccessIssue]
    while left:
        found = next((m for m in reversed(left) if _seal(m, hidden, uses, names) is not None), None)
        if found is None:
            last = left[-1]
            at, details = describe(made, *_place(last)), _masks_of(last, hidden, uses, names)
            raise PrivacyError("structural", observer, at, _why(last, hidden), details)
        left.remove(found)
        uses.subtract(_each(found.array.deps & hidden))  # pyright: ignore[reportAttributeAccessIssue]


def _knows(observer: int, name: Any) -> bool:
    """A mask of one of its keys, or a component of an input that it holds."""
    if observer == CLIENTS:
        return False
    return observer in name.parties if isinstance(name, Share) else observer in name[1]


def _seal(message: Message, hidden: int, uses: Counter[int], names: Sequence[Any]) -> int | None:
    """Masks that hide this message and occur in no other that is left."""
    path, _ = message.name
    for masks in message.array.seals:  # pyright: ignore[reportAttributeAccessIssue]
        own = all(names[b.bit_length() - 1][0] == path for b in _each(masks)) if path else True
        if own and masks & hidden == masks and all(uses[bit] == 1 for bit in _each(masks)):
            return masks
    return None


def _why(message: Message, hidden: int) -> str:
    value: Abstract = message.array  # pyright: ignore[reportAssignmentType]
    if not value.deps & hidden:
        return "a message depends on no mask that it does not know"
    if not any(masks & hidden == masks for masks in value.seals):
        return "a message is not hidden by a mask that it does not know: no such mask covers all of its bits"
    return "a message is hidden only by masks that hide other messages too"


def _masks_of(message: Message, hidden: int, uses: Counter[int], names: Sequence[Any]) -> list[str]:
    """The masks that the observer does not know and that a message depends on."""
    found = []
    for bit in _each(message.array.deps & hidden):  # pyright: ignore[reportAttributeAccessIssue]
        _, pair, name, *_ = names[bit.bit_length() - 1]
        more = f" (in {uses[bit]} messages)" if uses[bit] > 1 else ""
        found.append(describe_mask(pair, name) + more)
    more = [f"and {len(found) - MOST_NAMED} more"] if len(found) > MOST_NAMED else []
    return [f"masks in it that it does not know: {'; '.join([*found[:MOST_NAMED], *more]) or 'none'}"]


def _place(message: Message) -> tuple[int, Any, int]:
    return message.sender, message.name, message.depth


def _bits(numbers: Any) -> int:
    total = 0
    for n in numbers:
        total |= 1 << n
    return total


def _each(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low
        bits ^= low
