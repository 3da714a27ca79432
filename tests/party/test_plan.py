"""Plans stay small: equal layers share their code, and a loop is one body however often it runs."""

from __future__ import annotations

from typing import Any

import jax
import pytest

from jmpc import _jax
from jmpc.families.replicated3.lowering import lower
from jmpc.ir.plan import Plan
from jmpc.party.report import cost_report
from jmpc.testing.draw.ir_programs import Maker, finish
from tests.party.planning import build_plans, joint_schedule
from tests.party.samples import looped, network
from tests.party.test_masks import scopes


def plans_of(program: Any) -> list[Plan]:
    share = lower(program)
    return build_plans(share, joint_schedule(share))


def keys(plans: list[Plan]) -> set[str]:
    return {step.segment.key for plan in plans for one in scopes(plan) for step in one.steps if step.segment}


def steps(plans: list[Plan]) -> int:
    return sum(len(one.steps) for plan in plans for one in scopes(plan))


def test_equal_layers_share_their_segments() -> None:
    """The first and the last differ from those between them; a layer more is no new segment."""
    two, six, ten = (plans_of(network(layers)) for layers in (2, 6, 10))
    assert steps(ten) - steps(six) == steps(six) - steps(two) > 0
    assert keys(ten) == keys(six)
    assert len(keys(six)) == len(keys(two))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_is_not_unrolled(reverse: bool) -> None:
    """Only the work around the loop, which cuts and joins its rows, knows how many there are."""
    short, long = plans_of(looped(2, reverse)), plans_of(looped(200, reverse))
    assert steps(short) == steps(long)
    assert len(keys(short)) == len(keys(long))
    bodies = [
        {s.segment.key for p in plans for one in list(scopes(p))[1:] for s in one.steps if s.segment}
        for plans in (short, long)
    ]
    assert bodies[0] == bodies[1] != set()


def test_the_cost_of_a_loop_is_its_bodys_times_its_length() -> None:
    one, two, many = (cost_report(plans_of(looped(trip)), "lan") for trip in (1, 2, 50))
    each = [b - a for a, b in zip((one.rounds, *one.bytes_sent), (two.rounds, *two.bytes_sent), strict=True)]
    found = [b - a for a, b in zip((one.rounds, *one.bytes_sent), (many.rounds, *many.bytes_sent), strict=True)]
    assert found == [49 * e for e in each]
    assert min(each) > 0


def test_values_are_freed_once_and_after_their_last_use() -> None:
    for plan in (p for whole in (plans_of(network(2)), plans_of(looped(3))) for p in whole):
        for one in scopes(plan):
            gone: set[int] = set()
            for step in one.steps:
                segment = step.segment
                read = [m.array for m in step.exchange.sent]
                read += [n for lp in step.loops for n in lp.inputs] + list(segment.inputs if segment else ())
                assert gone.isdisjoint(read), "read after it is freed"
                assert gone.isdisjoint(step.frees), "freed twice"
                gone.update(step.frees)
            assert gone.isdisjoint(one.outputs)


def test_a_segment_does_what_its_key_says() -> None:
    """Segments of one key have the same code: the same jaxpr, but for names."""
    texts: dict[str, str] = {}
    for plan in plans_of(network(3)):
        for step in plan.steps:
            if step.segment is None:
                continue
            segment = step.segment
            avals = [_jax.aval((r.count,), "uint64") for r in segment.masks]
            avals += [_jax.aval(shape, dtype) for shape, dtype in segment.input_specs]
            with jax.enable_x64(True):
                text = str(jax.make_jaxpr(segment.run)(*avals))
            assert texts.setdefault(segment.key, text) == text
    assert 1 < len(texts) < len(plans_of(network(3))) * len(plans_of(network(3))[0].steps)


def test_a_loop_and_a_message_meet_in_one_step() -> None:
    """The loop comes first in the program, and the product after it waits for nothing: all of its messages are sent."""
    made = looped(3)
    (loop,) = (op for op in made.body.ops if op.name == "loop")

    def plans(with_loop: bool) -> list[Plan]:
        maker = Maker(made.config, made.body.params)
        x = loop.inputs[0]
        first = maker.emit_many("loop", *loop.inputs, **loop.attrs)[0] if with_loop else x
        product = maker.emit("truncate", maker.emit("mul", x, x), bits=made.config.f)
        return plans_of(finish(maker, [maker.emit("add", first, product)], [i.owner for i in made.inputs]))

    def messages(plan: Plan) -> tuple[int, int]:
        return sum(len(s.exchange.sent) for s in plan.steps), sum(len(s.exchange.received) for s in plan.steps)

    both = plans(True)
    assert all(any(step.loops and step.exchange.sent for step in plan.steps) for plan in both)
    assert list(map(messages, both)) == list(map(messages, plans(False)))
