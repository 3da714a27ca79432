"""What all three parties see of an order is a permutation of each row, whatever any secret is: keys anywhere in the
ring, bits that are no key at all, and all that words of packed bits may hold beyond the last."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmpc
from jmpc.config import Config
from jmpc.families.replicated3 import ABY3
from jmpc.ir.interp import evaluate
from jmpc.ir.program import Program
from jmpc.ir.types import INT, SPLIT, Type, secret_bits
from jmpc.party.program import input_type
from jmpc.ring.bits import pack_host
from jmpc.ring.element import Ring
from jmpc.ring.positions import positions
from jmpc.testing.build import config_of, number, one_op, program_of
from jmpc.testing.draw.elements import ring_arrays
from jmpc.testing.privacy.report import opened_by
from jmpc.testing.privacy.statistical import program_and_values
from jmpc.testing.simulator.lockstep import Masks, Report, results_of, run_traced, traces
from jmpc.testing.simulator.shares import Held, hold

Array = np.ndarray
ROWS = ((2,), (5,), (3, 4), (2, 7), (70,))


def opened_places(report: Report, made: Sequence[Any]) -> Iterator[list[Array]]:
    """Each opening as the parties see it, one array a party: the sum of what two of them hold and send."""
    names = opened_by(report.messages, made, ABY3.openings)
    heard = defaultdict(list)
    for m in report.messages:
        if m.name in names:
            heard[m.name, m.receiver].append(m)
    for name in names:
        (first,) = [p for p in range(3) if len(heard[name, p]) == 2]
        one, two = (np.asarray(m.array) for m in heard[name, first])
        halves = {m.sender: np.asarray(m.array) for p in range(3) if p != first for m in heard[name, p]}
        yield [one, two, *halves.values()]


def is_permutation(rows: Array) -> bool:
    return bool((np.sort(rows, -1) == np.arange(rows.shape[-1])).all())


def all_open_permutations(program: Program, held: Sequence[Sequence[Held]], rng: np.random.Generator) -> list[Array]:
    """Run, look at each opening, and say what the results are worth."""
    made = traces(program)
    flat, report = run_traced(made, held, Masks(rng))
    count = 0
    for first, second, *halves in opened_places(report, made):
        xor = program.body.ops[-1].name == "radix_rank"
        count += 1
        for a, b in ((first, second), (halves[0], halves[1])):
            plain, exclusive = (a + b).astype(a.dtype), a ^ b
            assert is_permutation(plain) or (xor and is_permutation(exclusive))
    assert count
    return results_of(program, flat)


# --- by pairs


def sort_by_pairs(shape: tuple[int, ...], kinds: Sequence[bool], widths: Sequence[int], config: Config) -> Program:
    """Ranked by numbers and bits, then moved: what a sort becomes."""
    types = [number(shape, 1) if is_number else secret_bits(shape) for is_number in kinds]

    def make(emit: Any, *keys: Any) -> Any:
        halves = [emit("split", x) if is_number else x for x, is_number in zip(keys, kinds, strict=True)]
        place = emit("pair_rank", *halves, widths=tuple(widths), blocks=tuple(3 if n else 1 for n in kinds))
        return emit("permute", place, keys[0])

    return program_of(make, types, config, "jmpc.SECRET")


def anything_held(rng: np.random.Generator, t: Type, x: Array, ring: Ring) -> list[Held]:
    """Shares of x; of bits, with anything in the lanes beyond the last, the same in both copies."""
    held = hold(x, t, ring, rng)
    if not t.packed:
        return held
    spare = np.zeros(64 * held[0][0].size, np.uint64)
    spare[t.size :] = 1
    lanes = (spare.reshape(64, -1) << np.arange(64, dtype=np.uint64)[:, None]).sum(0, dtype=np.uint64)
    noise = {id(a): rng.integers(0, 1 << 64, a.shape, np.uint64) & lanes for mine in held for a in mine}
    return [[a ^ noise[id(a)] for a in mine] for mine in held]


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_ranks_by_pairs_are_opened_as_permutations(data: st.DataObject) -> None:
    config = data.draw(st.sampled_from([Config(), Config(k=32, f=8), config_of(13, 2)]))
    shape, kinds = data.draw(st.sampled_from(ROWS)), data.draw(st.lists(st.booleans(), min_size=1, max_size=3))
    kinds[0] = True
    widths = [data.draw(st.integers(1, config.k)) if n else 1 for n in kinds]
    program, rng = sort_by_pairs(shape, kinds, widths, config), np.random.default_rng(data.draw(st.integers(0, 99)))
    values = [data.draw(ring_arrays(shape, config)) if n else rng.integers(0, 2, shape) == 1 for n in kinds]
    types = [input_type(p.type) for p in program.body.params]
    held = [anything_held(rng, t, x, Ring(config.k)) for t, x in zip(types, values, strict=True)]
    (found,) = all_open_permutations(program, held, rng)
    np.testing.assert_array_equal(found, evaluate(program, values)[0])


@pytest.mark.parametrize("width", [1, 2, 3])
def test_every_row_of_a_tiny_ring_has_a_rank_that_is_a_permutation(width: int) -> None:
    """All rows of three elements of a ring of eight, and all numbers of bits that a comparison may look at."""
    config, rows = config_of(3, 0), np.array(list(itertools.product(range(-4, 4), repeat=3)))
    attrs = {"widths": (width,), "blocks": (2,)}
    program = one_op("pair_rank", [number(rows.shape, 1, SPLIT)], config, **attrs)
    rng = np.random.default_rng(width)
    flat, _ = run_traced(traces(program), [hold(rows, number(rows.shape, 1, SPLIT), Ring(3), rng)], Masks(rng))
    (found,) = results_of(program, flat)
    assert is_permutation(found)
    spare = 64 - width
    np.testing.assert_array_equal(found, np.argsort(np.argsort(rows << spare >> spare, -1, kind="stable"), -1))


# --- by digits


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_every_pass_of_a_radix_sort_opens_permutations(data: st.DataObject) -> None:
    """Planes of bits, or a word an element, of which any may be set above the width."""
    shape, rng = data.draw(st.sampled_from(ROWS[1::2])), np.random.default_rng(data.draw(st.integers(0, 99)))
    count = data.draw(st.sampled_from((1, 3, 64, 70)))
    width = data.draw(st.integers(1, count))
    turned = tuple(data.draw(st.sets(st.integers(0, width - 1), max_size=3)))
    t = secret_bits((count, *shape))
    digit = data.draw(st.integers(1 + count // 20, 6))
    program = one_op("radix_rank", [t], Config(), width=width, digit=digit, turned=turned)
    bits = rng.integers(0, 2, t.shape) == 1
    (found,) = all_open_permutations(program, [anything_held(rng, t, bits, Ring(64))], rng)
    np.testing.assert_array_equal(found, evaluate(program, [bits])[0])


@pytest.mark.parametrize("n", [255, 256, 257])
def test_rows_at_the_end_of_a_dtype_of_places(n: int) -> None:
    """Places of 256 elements take a byte, of 257 two."""
    t, rng = secret_bits((2, n)), np.random.default_rng(n)
    program = one_op("radix_rank", [t], Config(), width=2, digit=1, turned=())
    assert positions(n).itemsize == 1 + (n > 256)
    bits = rng.integers(0, 2, t.shape) == 1
    (found,) = all_open_permutations(program, [hold(bits, t, Ring(64), rng)], rng)
    np.testing.assert_array_equal(found, evaluate(program, [bits])[0])


# --- what users write


def sorts(x: Any, y: Any) -> Any:
    """Keys that may leave the number format by far: an unscaled product."""
    return jnp.sort(x * y), jnp.median(x * y, axis=-1), jnp.argsort(x * y)


@pytest.mark.parametrize("network", ["lan", "wan"])
@pytest.mark.parametrize("length", [2, 6, 40])
def test_a_sort_opens_permutations_where_its_keys_leave_their_bounds(network: Any, length: int) -> None:
    secured = jmpc.secure(sorts, config=Config(network=network))
    x = np.full((length,), 131072.0, np.float32)
    for seed in range(4):
        y = np.random.default_rng(seed).uniform(-1000, 1000, length).astype(np.float32)
        program, values = program_and_values(secured, (x, y))
        assert {op.name for op in program.body.ops} & {"pair_rank", "radix_rank"}
        rng = np.random.default_rng(seed)
        types = [input_type(p.type) for p in program.body.params]
        held = [hold(v, t, Ring(64), rng) for v, t in zip(values, types, strict=True)]
        made = traces(program)
        _, report = run_traced(made, held, Masks(rng))
        assert list(opened_places(report, made))
        for first, second, *halves in opened_places(report, made):
            for a, b in ((first, second), (halves[0], halves[1])):
                assert is_permutation((a + b).astype(a.dtype)) or is_permutation(a ^ b)


# --- what leaves for a client


@pytest.mark.parametrize("size", [1, 3, 64, 65, 200])
def test_a_client_gets_the_bits_of_a_result_and_none_beside_them(size: int) -> None:
    """What the words hold beyond the last bit may be anything, say what a later program makes of an earlier one's."""
    t, rng = secret_bits((size,)), np.random.default_rng(size)
    program = program_of(lambda emit, x: emit("not", x), [t], Config(), "carol")
    bits = rng.integers(0, 2, size) == 1
    flat, _ = run_traced(traces(program), [anything_held(rng, t, bits, Ring(64))], Masks(rng))
    leaving = flat[0][0] ^ flat[1][0] ^ flat[2][0]
    np.testing.assert_array_equal(leaving, pack_host(~bits))


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int32"])
def test_a_client_gets_the_bits_of_an_integers_dtype_and_none_above(dtype: str) -> None:
    t, rng = Type((5,), INT, 0, 1 << 63), np.random.default_rng(5)
    program = program_of(lambda emit, x: emit("neg", x), [t], Config(), "carol")
    program = replace(program, outputs=(replace(program.outputs[0], dtype=dtype),))
    x = rng.integers(-(1 << 63), (1 << 63) - 1, 5)
    flat, _ = run_traced(traces(program), [hold(x, t, Ring(64), rng)], Masks(rng))
    kept = (1 << 8 * np.dtype(dtype).itemsize) - 1
    summands = [f[0] for f in flat]
    assert all((s <= kept).all() for s in summands)
    np.testing.assert_array_equal(sum(summands) & np.uint64(kept), (-x).astype(np.uint64) & np.uint64(kept))
