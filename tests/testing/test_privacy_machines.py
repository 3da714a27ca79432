"""The machines under the privacy checks: many runs at once are so many runs, and control on data is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from jmpc.config import Config
from jmpc.families.protocol import Entry
from jmpc.families.replicated3.protocols.share import deal, dealt, masked, numbers
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.types import INT, SUM3, Type, secret_bits
from jmpc.party.program import input_type
from jmpc.ring.bits import words
from jmpc.ring.element import Ring
from jmpc.testing.build import number, one_op
from jmpc.testing.privacy.report import PrivacyError
from jmpc.testing.privacy.run_layout import columns, placed
from jmpc.testing.privacy.structural import check_private_structural
from jmpc.testing.simulator.batch import Batch
from jmpc.testing.simulator.lockstep import Masks, run_traced, traces
from jmpc.testing.simulator.shares import hold
from tests.testing.privacy_cases import CASES

Array = Any
RUNS = 3
SOME = ("truncate_wrap", "msb", "inject_dabit", "dot_sum3", "conv_sum3", "lookup", "reshare")


class Given(Masks):
    """Masks of one run of a batch."""

    def __init__(self, batch: Masks, run: int) -> None:
        super().__init__(batch.rng)
        self.batch, self.run = batch, run

    def make(self, key: Any, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return self.batch.drawn[key][self.run]


@pytest.mark.parametrize("name", SOME)
def test_a_batch_is_its_runs(name: str) -> None:
    case = CASES[name][0]
    program = case.program(name, (5,), Config())
    made, rng, ring = traces(program), np.random.default_rng(7), Ring(64)
    types = [input_type(p.type) for p in program.body.params]
    held = [hold(np.ones(t.shape, bool if t.form == "bits" else np.int64), t, ring, rng, (RUNS,)) for t in types]
    masks = Masks(rng, (RUNS,))
    flat, report = run_traced(made, held, masks, Batch(RUNS))
    for run in range(RUNS):
        alone = [[[a[run] for a in mine] for mine in one] for one in held]
        results, single = run_traced(made, alone, Given(masks, run))
        for mine, batched in zip(results, flat, strict=True):
            for a, b in zip(mine, batched, strict=True):
                np.testing.assert_array_equal(a, b[run])
        for one, many in zip(single.messages, report.messages, strict=True):
            np.testing.assert_array_equal(one.array, many.array[run])


WITH_NUMBERS: dict[str, Callable[[Array], Array]] = {
    "times": lambda x: x * np.uint64(3),
    "shifted": lambda x: x >> np.uint64(1),
    "chosen": lambda x: jnp.where(x > np.uint64(9), x, np.uint64(5)),
    "a sum added": lambda x: x + jnp.sum(x, dtype=x.dtype),
    "padded": lambda x: lax.pad(x, jnp.sum(x, dtype=x.dtype), [(1, 1, 0)] * x.ndim),
    "counted": lambda x: lax.fori_loop(0, 3, lambda n, v: v + n.astype(v.dtype), x),
}


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_a_number_joins_the_arrays_of_a_batch(name: str, shape: tuple[int, ...]) -> None:
    """A jaxpr may add, say, a number to an array: in a batch it has one axis, the array has more."""
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(WITH_NUMBERS[name])(np.zeros(shape, np.uint64))
    x = np.random.default_rng(2).integers(0, 1 << 64, (RUNS, *shape), np.uint64)
    (found,) = Batch(RUNS).inlined(jaxpr)(x)
    for run in range(RUNS):
        with jax.enable_x64(True):
            np.testing.assert_array_equal(found[run], np.asarray(WITH_NUMBERS[name](jnp.asarray(x[run]))))


# --- where the elements of a run lie


@given(runs=st.sampled_from([64, 256]), inner=st.integers(1, 5), first=st.booleans())
def test_wideand_back(runs: int, inner: int, first: bool) -> None:
    rng = np.random.default_rng(inner)
    shape = (runs, inner) if first else (inner, runs)
    for array in (
        rng.integers(0, 9, shape, np.uint8),
        rng.integers(0, 1 << 64, (inner, words(runs)), np.uint64),
        rng.integers(0, 1 << 64, (words(inner * runs),), np.uint64),
    ):
        found = columns(array, runs)
        assert all(c.shape == (runs,) for c in found)
        np.testing.assert_array_equal(placed(found, array.shape, array.dtype, runs), array)


# --- control


def swapped(run: Callable[..., Any]) -> dict[str, Any]:
    return {**PROTOCOLS, "and": replace(PROTOCOLS["and"], run=run)}


def until_zero(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
    """As many steps as a share says."""
    x = lax.while_loop(lambda x: (x > 0).any(), lambda x: x >> np.uint64(1), held[0][0])
    return x, held[0][1]


def branches(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
    x = lax.cond((held[0][0] > 0).any(), lambda x: x, lambda x: ~x, held[0][0])
    return x, held[0][1]


def branches_inside(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
    def step(x: Array, _: None) -> tuple[Array, None]:
        return lax.cond((x > 0).any(), lambda x: x, lambda x: ~x, x), None

    return lax.scan(step, held[0][0], None, length=2)[0], held[0][1]


def prints(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
    jax.debug.print("{}", held[0][0])
    return held[0]


@pytest.mark.parametrize("run", [until_zero, branches, branches_inside, prints])
def test_what_runs_must_not_depend_on_shares(run: Callable[..., Any]) -> None:
    program = one_op("and", [secret_bits((3,))] * 2, Config())
    with pytest.raises(PrivacyError, match="depends on data"):
        check_private_structural(program, protocols=swapped(run))


def test_a_loop_of_fixed_length_may_run() -> None:
    def shifts(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
        return lax.fori_loop(0, 3, lambda n, x: x >> np.uint64(1), held[0][0]), held[0][1]

    program = one_op("and", [secret_bits((3,))] * 2, Config())
    assert check_private_structural(program, protocols=swapped(shifts)).messages == 0


# --- parts of a message


def masked_and_its_mask(me: Any, held: Sequence[Any], types: Any, attrs: Any) -> Any:
    """Open x - a, a = a_0 + a_1; party 2 deals x and, in the same message, what depends on a."""
    group, (x, _) = numbers(me.ring), held[0]
    a_0 = masked(me, "nxt" if me.index == 2 else "prv", x.shape, group) if me.index != 1 else None
    a_1 = masked(me, "prv" if me.index == 2 else "nxt", x.shape, group) if me.index != 0 else None
    both = lax.concatenate([x, lax.mul(a_0, a_1)], 0) if me.index == 2 else None
    half = dealt(me, deal(me, both, (2 * x.size,), group))
    if me.index == 2:
        me.exchange()
        return x
    mine = group.sub(lax.slice_in_dim(half, 0, x.size), a_0 if me.index == 0 else a_1)
    way = "nxt" if me.index == 0 else "prv"
    me.exchange(**{f"to_{way}": mine, f"from_{way}": (x.shape, group.dtype)})
    return x


def test_parts_that_are_dealt_together_depend_on_their_own_words() -> None:
    """The half of x that party 0 draws masks nothing of the product, though both are dealt under one mask."""
    table = {**PROTOCOLS, "split": replace(PROTOCOLS["split"], run=masked_and_its_mask)}
    found = check_private_structural(one_op("split", [number((4,), 1)], Config()), protocols=table)
    assert found.messages == 3
    assert found.masks == 4  # the mask of what is dealt is cut in two


def one_word_for_two(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    """A reshare in which JAX spreads each word of a mask over an axis by itself: `add` takes axes of size 1."""
    shape, group = types[0].shape, numbers(me.ring)
    word = group.sub(masked(me, "nxt", (shape[0], 1), group), masked(me, "prv", (shape[0], 1), group))
    z = jnp.add(held[0], word)
    return z, me.exchange(to_prv=z, from_nxt=(shape, me.ring.dtype))


@pytest.mark.parametrize(("wide", "holds"), [(1, True), (2, False)])
def test_a_word_that_jax_spreads_hides_no_two_elements(wide: int, holds: bool) -> None:
    table = {**PROTOCOLS, "reshare": Entry("reshare", one_word_for_two, "a planted leak")}
    program = one_op("reshare", [Type((3, wide), INT, form=SUM3)], Config())
    if holds:
        check_private_structural(program, protocols=table)
        return
    with pytest.raises(PrivacyError, match="no such mask covers all of its bits"):
        check_private_structural(program, protocols=table)
