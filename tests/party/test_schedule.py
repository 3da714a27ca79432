"""The joint schedule: nothing is sent before it exists, in as few rounds as can be; a wrong one is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc import families
from jmpc.errors import ProgramError
from jmpc.families.replicated3.lowering import lower
from jmpc.ir.program import Program, walk
from jmpc.party.build import build_plan
from jmpc.party.cut import Cutter, make_plan
from jmpc.party.program import is_sync
from jmpc.party.report import cost_report
from jmpc.party.schedule import Schedule, mask_words, ready_slot
from jmpc.testing.draw.ir_programs import order_programs, programs, share_programs
from jmpc.testing.simulator.lockstep import run, traces
from tests.party.planning import build_plans, joint_schedule
from tests.party.samples import network
from tests.passes.chains import chains
from tests.passes.ulps import small_inputs

LOWERED = st.one_of(programs(), chains()).map(lower)
ANY = st.one_of(share_programs(), order_programs(), LOWERED)


def check_order(traced: Any, found: Schedule) -> None:
    """Walk one party's trace: each exchange and loop lies after the slots of all that it depends on."""
    ready = dict.fromkeys((*traced.jaxpr.invars, *traced.jaxpr.constvars), 0)
    for eqn in traced.live:
        slot = ready_slot(eqn, ready)
        if is_sync(eqn):
            name = eqn.params["name"]
            at = found.exchanges[name] if eqn.primitive.name == "exchange" else found.loops[name][0]
            assert at > slot, "sent before it exists"
            slot = at
            if eqn.primitive.name == "party_loop":
                check_order(eqn.params["body"], found.loops[name][1])
        ready.update((v, slot) for v in eqn.outvars)


@settings(max_examples=15)
@given(program=ANY)
def test_everything_is_sent_after_what_it_depends_on(program: Program) -> None:
    found = joint_schedule(program)
    for traced in traces(program):
        check_order(traced, found)


@settings(max_examples=20)
@given(program=ANY)
def test_the_rounds_are_those_of_the_longest_chain_of_messages(program: Program) -> None:
    """Without loops: counted by the run, which knows no schedule. The schedule's slots are all in use."""
    if any(op.name == "loop" for op in walk(program.body)):
        return
    found = joint_schedule(program)
    _, report = run(program, small_inputs(program, 0))
    assert found.slots == report.rounds
    assert set(found.exchanges.values()) == set(range(1, found.slots + 1))
    stated = cost_report(build_plans(program, found), "lan")
    assert (stated.rounds, list(stated.bytes_sent)) == (report.rounds, report.bytes_sent)


def test_what_is_dealt_for_a_layer_waits_for_it() -> None:
    """No burst in the first round: each layer's rounds carry as many messages as those of the layer before."""
    layers = 6
    messages = Counter(joint_schedule(lower(network(layers))).exchanges.values())
    each = len(messages) // layers
    assert len(messages) == each * layers
    found = [[messages[1 + layer * each + n] for n in range(each)] for layer in range(layers - 1)]
    assert all(layer == found[0] for layer in found)


@settings(max_examples=8)
@given(program=ANY)
def test_a_schedule_goes_through_json_and_back(program: Program) -> None:
    found = joint_schedule(program)
    assert Schedule.from_data(json.loads(json.dumps(found.to_data()))) == found


@settings(max_examples=8)
@given(program=ANY)
def test_the_schedule_is_the_same_each_time(program: Program) -> None:
    assert joint_schedule(program) == joint_schedule(program)


MALFORMED: list[Any] = [
    None, 5, [], [[], []], [[], [], [], []], "abc", {"a": 1}, [[[0, 0]], [], []], [[[0, 0, 1, 2]], [], []],
    [[[0, 0, -1]], [], []], [[[0, 0, 1.0]], [], []], [[[0, 0, True]], [], []], [[[0, 0, 1 << 31]], [], []],
    [[], [[0, 1, [[], []]]], []], [[], [[0, 1, None]], []], [[], [], [[0, 0, 0, 0]]], [[], [], [[0, 0, 0, 0, "1"]]],
]  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED, ids=repr)
def test_a_malformed_schedule_is_refused(data: Any) -> None:
    with pytest.raises(ProgramError, match="malformed"):
        Schedule.from_data(data)


# --- a schedule that is not that of the program

PROGRAM = lower(network(2))
FOUND = joint_schedule(PROGRAM)
FIRST, LAST = min(FOUND.exchanges), max(FOUND.exchanges)
MASK = min(FOUND.masks)


def with_exchange(name: Any, slot: int | None) -> Schedule:
    changed = {n: s for n, s in FOUND.exchanges.items() if n != name}
    return replace(FOUND, exchanges=changed if slot is None else {**changed, name: slot})


def with_mask(name: Any, slot: int, words: int) -> Schedule:
    return replace(FOUND, masks={**FOUND.masks, name: (slot, words)})


TAMPERED: dict[str, Schedule] = {
    "an exchange less": with_exchange(FIRST, None),
    "an exchange more": with_exchange((99, 0), 1),
    "an exchange at once": with_exchange(LAST, 0),
    "an exchange too early": with_exchange(LAST, 1),
    "an exchange never reached": with_exchange(LAST, 1 << 30),
    "a loop more": replace(FOUND, loops={3: (1, Schedule({}, {}, {}))}),
    "a mask less": replace(FOUND, masks={n: p for n, p in FOUND.masks.items() if n != MASK}),
    "a mask of other size": with_mask(MASK, FOUND.masks[MASK][0], FOUND.masks[MASK][1] + 1),
    "a mask never reached": with_mask(MASK, 1 << 30, FOUND.masks[MASK][1]),
    "nothing": Schedule({}, {}, {}),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_schedule_is_refused(name: str) -> None:
    """By a party that the change touches: a mask is known to two."""
    refused = 0
    for party in range(3):
        try:
            build_plan(PROGRAM, TAMPERED[name], party)
        except ProgramError:
            refused += 1
    assert refused >= (2 if "mask" in name else 3)


@settings(max_examples=15)
@given(program=ANY, other=ANY)
def test_the_schedule_of_another_program_is_refused_or_is_as_good(program: Program, other: Program) -> None:
    found = joint_schedule(other)
    for traced in traces(program):
        try:
            make_plan(traced, found)
        except ProgramError:
            continue
        check_order(traced, found)


@pytest.mark.parametrize("change", [lambda p: p.steps, lambda p: p.inputs, lambda p: p.mask_words])
def test_the_plans_of_three_parties_have_the_same_frame(change: Callable[[Any], Any]) -> None:
    plans = build_plans(PROGRAM, FOUND)
    assert [p.party for p in plans] == [0, 1, 2]
    assert len({len(change(p)) for p in plans}) == 1
    for steps in zip(*(p.steps for p in plans), strict=True):
        assert len({s.is_round for s in steps}) == 1
        for sender, step in enumerate(steps):
            for receiver, to in step.exchange.sends.items():
                back = steps[receiver].exchange.receives[sender]
                assert [(m.name, m.spec) for m in to] == [(m.name, m.spec) for m in back]
            received = [p for p, other in enumerate(steps) if sender in other.exchange.receives]
            assert received == sorted(step.exchange.sends)


# --- a schedule made up by somebody whom a party does not trust


@st.composite
def made_up(draw: Any, found: Schedule) -> Schedule:
    """A schedule with some slots and lengths that somebody made up, some names more and some less."""

    def shaken(table: dict[Any, Any], change: Callable[[Any], Any]) -> dict[Any, Any]:
        keys = sorted(table)
        chosen = draw(st.sets(st.sampled_from(keys), max_size=3)) if keys else set()
        return {name: change(value) if name in chosen else value for name, value in table.items()}

    slot = st.integers(0, found.slots + 1)
    exchanges = shaken(found.exchanges, lambda at: draw(slot))
    masks = shaken(found.masks, lambda place: (draw(slot), draw(st.sampled_from([place[1], 0, place[1] + 1]))))
    if draw(st.booleans()) and masks:
        one, other, op, n = draw(st.sampled_from(sorted(masks)))
        masks[one, other, op, n + draw(st.integers(1, 50))] = (draw(slot), draw(st.integers(0, 9)))
    loops = {op: (at, draw(made_up(body))) for op, (at, body) in found.loops.items()}
    return Schedule(exchanges, shaken(loops, lambda loop: (draw(slot), loop[1])), masks)


@settings(max_examples=15)
@given(data=st.data())
def test_whatever_a_schedule_says_no_word_of_a_key_has_two_purposes(data: Any) -> None:
    """A party refuses it, or its masks lie apart, each as long as it is, and both ends of a key place them alike."""
    program = data.draw(ANY)
    found = data.draw(made_up(joint_schedule(program)))
    by_pair: dict[tuple[int, int], list[set[Any]]] = {pair: [] for pair in families.pairs(3)}
    for party, traced in enumerate(traces(program)):
        try:
            total = make_plan(traced, found).mask_words
        except ProgramError:
            continue
        check_order(traced, found)
        for peer in total:
            drawn = sorted(drawn_by(traced, found, peer), key=lambda use: use[:2])
            ends = [0, *(first + count for first, count, _ in drawn)]
            starts = [*(first for first, _, _ in drawn), total[peer]]
            assert all(end <= start for end, start in zip(ends, starts, strict=True)), "two masks share a word"
            by_pair[min(party, peer), max(party, peer)].append({use for use in drawn if use[1]})
    for ends in by_pair.values():
        names = [{use[2]: use for use in end} for end in ends]
        for name in set(names[0]) & set(names[1]) if len(names) == 2 else ():
            assert names[0][name] == names[1][name], "two peers place a mask differently"


def drawn_by(traced: Any, found: Schedule, peer: int, start: int = 0, path: Any = ()) -> list[Any]:
    """Where each mask that a party draws lies, with its true length, in every iteration of loops."""
    cutter, uses = Cutter(traced, found), []
    for name, eqn in cutter.masks.values():
        if cutter._peer(name) == peer:
            uses.append((start + cutter.layout.start[name], mask_words(eqn.params), (path, name[2:])))
    for eqn in cutter.eqns:
        if eqn.primitive.name == "party_loop":
            op, each = eqn.params["name"], cutter.bodies[eqn.params["name"]].mask_words[peer]
            for step in range(eqn.params["trip"]):
                first = start + cutter.layout.loops[op, peer] + step * each
                uses += drawn_by(eqn.params["body"], found.loops[op][1], peer, first, (path, op, step))
    return uses
