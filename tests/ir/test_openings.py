"""What all three parties see: nobody who writes a program's text can have them open a secret.

An opening rests on a permutation that a ranking op made, or on a fresh dabit. Each program here tries to put something
else in its place, in one of the ways that the text of a program allows; the verifier, which every party runs, refuses
it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc import families as _registered  # noqa: F401  (share-level ops)
from jmpc.errors import ProgramError
from jmpc.executors.engine import PartyEngine, program_text
from jmpc.ir import ops
from jmpc.ir.program import Program, Value, walk
from jmpc.ir.spec import verify
from jmpc.ir.text import parse_program, print_program
from jmpc.ir.types import FORMS, MASK, OPENED_BY, PLACES
from jmpc.party.schedule import Schedule
from jmpc.testing.draw.ir_programs import order_programs, programs, share_programs
from tests.ir.broken import BITS64, DABIT, DABIT2, MN, PRELUDE, RADIX, RANK, SPLIT, A, B, M, N, R, program

NUMBERS = "secret int[4] arith"
WORDS = f"%50 = random_words {{number=1, shape=(4,)}} : {NUMBERS} max 2^63 inferred"
BIT = f"%50 = bit_to_arith %12 : {N}"
SORT = (SPLIT, RANK)
CONST = '%51 = const {kind="int", scale=0, shape=(4,), value=1} : public int[4] plain'
ZERO = '%52 = const {kind="int", scale=0, shape=(), value=0} : public int[] plain'

# what is tried -> the rule that refuses it, and the lines of the program
ATTACKS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a secret as places": ("form", (WORDS, f"%61 = permute %50, %10 : {A}")),
    "a secret in its own places": ("form", (WORDS, f"%61 = permute %50, %50 : {NUMBERS} max 2^63 inferred")),
    "bits as places": ("form", (BIT, f"%61 = permute %50, %10 : {A}")),
    "a secret that is said to be places": ("infer", (f"%60 = random_words {{number=1, shape=(4,)}} : {R}",)),
    "a secret bounded like places": ("infer", (BIT, f"%60 = bound %50 {{limit=3}} : {R}")),
    "an input shared as places": ("infer", (f"%60 = share %0 : {R}",)),
    "a public constant as places": ("form", (CONST, f"%61 = permute %51, %10 : {A}")),
    "a constant shared as places": ("infer", (CONST, f"%60 = share %51 : {R}")),
    "a sum of comparisons": (
        "infer",
        (SPLIT, f"%50 = msb %21 {{block=4, drop=0, width=45}} : {B}", f"%60 = bit_to_arith %50 : {R}"),
    ),
    "a secret moved by places": (
        "form",
        (*SORT, WORDS, f"%60 = permute %26, %50 : {NUMBERS} max 2^63 inferred", f"%61 = permute %60, %10 : {A}"),
    ),
    "places moved by places": ("form", (*SORT, f"%60 = permute %26, %26 : {R}")),
    **{
        f"places after {name}": ("form", (*SORT, CONST, ZERO, WORDS, f"%60 = {line} : {R}"))
        for name, line in {
            "negation": "neg %26",
            "a sum": "add %26, %26",
            "a secret added": "add %26, %50",
            "a constant added": "add %26, %51",
            "a difference": "sub %26, %26",
            "a product": "mul %26, %51",
            "scaling": "scale_up %26 {bits=1}",
            "a bound": 'bound %26 {limit=3, origin="inferred"}',
            "a cast": "as_int %26",
            "a move of the point": "move_point %26 {bits=1}",
            "a reshape": "reshape %26 {shape=(2,2)}",
            "a transposition": "transpose %26 {perm=(0,)}",
            "a slice": "slice %26 {limit=(2,), start=(0,), strides=none}",
            "reversal": "rev %26 {axes=(0,)}",
            "a broadcast": "broadcast %26 {dims=(1,), shape=(2,4)}",
            "rows taken": "take %26 {rows=(0,0,1,2)}",
            "a concatenation": "concat %26, %50 {axis=0}",
            "padding": "pad %26, %52 {config=((0,0,0),)}",
            "a window": "dynamic_slice %26, %52 {sizes=(2,)}",
            "an update": "dynamic_update %26, %50, %52",
            "a running sum": "cumsum %26 {axis=0, reverse=false}",
            "a split": "split %26",
            "a change of form": "to_sum3 %26",
            "a selection": "inject %12, %26",
        }.items()
    },
    "places carried by a loop": (
        "form",
        (*SORT, f"%60 = loop %26 {{carry=1, consts=0, trip=2, body=block(%30 : {R}) {{\n  return %30\n}}}} : {R}"),
    ),
    "a secret that a loop's body takes as places": (
        "opening",
        (WORDS, f"%60 = loop %50 {{carry=1, consts=0, trip=2, body=block(%30 : {R}) {{\n  return %30\n}}}} : {R}"),
    ),
    "places of another shape": ("infer", (*SORT, f"%60 = permute %26, %13 : {N} max 3 declared")),
    "flags above the bits of a key": ("infer", (SPLIT, BITS64, RADIX.replace("(44,)", "(45,)"))),
    "a flag given twice": ("infer", (SPLIT, BITS64, RADIX.replace("(44,)", "(44,44)"))),
    "more bits than there are": ("infer", (SPLIT, BITS64, RADIX.replace("width=45", "width=65"))),
    "summands ranked": ("form", (f"%50 = to_sum3 %10 : {A.replace('arith', 'sum3')}", RANK.replace("%21", "%50"))),
    "a secret as a dabit": ("form", (BIT, f"%60 = bit_to_arith_dabit %12, %12, %50 : {N}")),
    "a secret as half of a dabit": ("form", (DABIT, f"%60 = bit_to_arith_dabit %12, %12, %23 : {N}")),
    "a secret as the number of a dabit": ("form", (DABIT, BIT, f"%60 = inject_dabit %12, %22, %50, %10 : {A}")),
    "a bit that is said to be half of a dabit": ("infer", (f"%60 = not %12 : {M}",)),
    "halves of two dabits": ("dabit", (DABIT, DABIT2, f"%60 = bit_to_arith_dabit %12, %22, %25 : {N}")),
    "one dabit for two bits": (
        "dabit",
        (DABIT, f"%50 = not %12 : {B}", f"%60 = bit_to_arith_dabit %12, %22, %23 : {N}",
         f"%61 = bit_to_arith_dabit %50, %22, %23 : {N}"),
    ),
    "a dabit under another": ("form", (DABIT, DABIT2, f"%60 = bit_to_arith_dabit %24, %22, %23 : {N}")),
    "a dabit flipped": ("form", (DABIT, f"%60 = not %22 : {M}")),
    "a dabit added to the bit": ("form", (DABIT, f"%60 = xor %22, %12 : {B}")),
    "a dabit as a number of its own": ("form", (DABIT, f"%60 = add %23, %23 : {MN}")),
    "a dabit opened as places": ("form", (DABIT, f"%60 = permute %23, %10 : {A}")),
    "a dabit kept for a loop": (
        "form",
        (DABIT, f"%60 = loop %22 {{carry=1, consts=0, trip=2, body=block(%30 : {M}) {{\n  return %30\n}}}} : {M}"),
    ),
    "a dabit told": ("outputs", (DABIT, 'output %22 "[1]" to "carol" bool')),
    "a dabit kept for a later program": ("outputs", (DABIT, 'output %23 "[1]" to "jmpc.SECRET" int32')),
    "places told": ("outputs", (*SORT, 'output %26 "[1]" to "carol" int32')),
    "places kept for a later program": ("outputs", (*SORT, 'output %26 "[1]" to "jmpc.SECRET" int32')),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_a_program_that_would_open_a_secret_is_refused(name: str) -> None:
    rule, lines = ATTACKS[name]
    with pytest.raises(ProgramError) as found:
        verify(program(*lines), "share")
    assert f"rule {rule!r} is broken" in str(found.value)


@pytest.mark.parametrize("t", [R, MN, M, R.replace("[4]", "[]")])
@pytest.mark.parametrize("source", ["", ' from "secret"', ' from "alice"'])
def test_nothing_of_an_earlier_program_is_taken_for_what_an_opening_needs(t: str, source: str) -> None:
    """A handle, an owner's array and a public one are what someone says that they are."""
    head = PRELUDE[: PRELUDE.index("input")]
    for said in (t, t.replace("secret", "public"), t.replace("secret", 'local("alice")')):
        with pytest.raises(ProgramError, match="rule 'inputs'"):
            verify(parse_program(f'{head}input %0 "x"{source} : {said}\n'), "share")


def test_each_party_refuses_it_by_itself() -> None:
    """The text comes from someone whom a party trusts with nothing."""
    rule, lines = ATTACKS["a secret in its own places"]
    text = program_text(program(*lines), Schedule({}, {}, {}))
    for party in range(3):
        with pytest.raises(ProgramError, match=f"rule '{rule}' is broken"):
            PartyEngine(party).load(text)


# --- the tables


def test_only_a_permutation_by_ranking_and_a_dabit_are_opened_by() -> None:
    """No op but these takes a value of a form that an opening rests on."""
    takers = {
        (name, position, form)
        for name, signature in ops.OPS.items()
        for position, operand in enumerate((*signature.operands, *([signature.more] if signature.more else [])))
        for form in operand.forms
        if form in OPENED_BY
    }
    dabits = {(name, n, MASK) for name in ("inject_dabit", "bit_to_arith_dabit") for n in (1, 2)}
    assert takers == {("permute", 0, PLACES), *dabits}
    assert set(OPENED_BY) < set(FORMS)


@settings(max_examples=60, deadline=None)
@given(st.one_of(programs(), share_programs(), order_programs()))
def test_only_ranks_are_places_and_only_dabits_masks(p: Program) -> None:
    makers = {PLACES: {"rank", "pair_rank", "radix_rank"}, MASK: {"dabit"}}
    assert all(makers[form] <= ops.OPS.keys() for form in makers)
    for op in walk(p.body):
        for value in op.outputs:
            assert op.name in makers.get(value.type.form, {op.name})


@settings(max_examples=60, deadline=None)
@given(st.one_of(share_programs(), order_programs()))
def test_what_an_opening_needs_survives_the_text(p: Program) -> None:
    read = parse_program(print_program(p, locations=False))
    verify(read, "share")

    def forms(q: Program) -> list[str]:
        return [value.type.form for op in walk(q.body) for value in op.outputs]

    assert forms(read) == forms(p)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_an_operand_of_an_opening_cannot_be_exchanged(data: st.DataObject) -> None:
    """In a random program that opens, any other value in the place of what the opening rests on is refused."""
    p = data.draw(st.one_of(share_programs(), order_programs()))
    opening = [op for op in p.body.ops if op.name in ("permute", "inject_dabit", "bit_to_arith_dabit")]
    if not opening:
        return
    op = data.draw(st.sampled_from(opening))
    position = data.draw(st.sampled_from([0] if op.name == "permute" else [1, 2]))
    others: list[Value] = [v for o in p.body.ops[: p.body.ops.index(op)] for v in o.outputs] + list(p.body.params)
    other = data.draw(st.sampled_from([v for v in others if v is not op.inputs[position]]))
    inputs = tuple(other if n == position else v for n, v in enumerate(op.inputs))
    ops_after = tuple(replace(o, inputs=inputs) if o is op else o for o in p.body.ops)
    body = replace(p.body, ops=ops_after)
    if other.type.form != PLACES:  # another rank of the same rows would do
        with pytest.raises(ProgramError):
            verify(p.with_body(body), "share")
