"""The strategies give what they say, edges among it."""

from __future__ import annotations

import pkgutil
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import jmpc.testing
from jmpc.config import Config
from jmpc.ir.types import ARITH, BITS, FIXED, PLAIN, SPLIT, SUM3, Type, secret_bits
from jmpc.ring.element import Ring
from jmpc.testing.draw.elements import edges, fixed_point, ring_arrays, ring_elements
from jmpc.testing.draw.strategies import broadcast_pairs, pytrees_of_secrets, shapes, shares_of
from jmpc.testing.simulator.shares import worth

SMALLEST = settings(max_examples=500, database=None, derandomize=True)
FIND = settings(max_examples=2000, database=None, phases=[Phase.generate])


@given(k=st.sampled_from((3, 8, 32, 64)), data=st.data())
def test_ring_elements_have_their_bits(k: int, data: Any) -> None:
    bits = data.draw(st.integers(1, k))
    x = data.draw(ring_elements(k, bits))
    assert -(1 << (bits - 1)) <= x < 1 << (bits - 1)


@pytest.mark.parametrize("wanted", [0, 1, -1, 1 << 62, -(1 << 62), (1 << 63) - 1, -(1 << 63), 1 << 7, (1 << 12) - 1])
def test_edges_are_drawn(wanted: int) -> None:
    """+-2^(k-2), the ends of the ring, and the borders of blocks of five bits from the third on."""
    assert find(ring_elements(64), lambda x: x == wanted, settings=FIND) == wanted


@pytest.mark.parametrize("bits", [3, 8, 33, 64])
def test_values_shrink_towards_zero(bits: int) -> None:
    """A fault of every number is shown with 0, and one of every negative number with a small one."""
    assert find(ring_elements(64, bits), lambda x: True, settings=SMALLEST) == 0
    assert -2 <= find(ring_elements(64, bits), lambda x: x < 0, settings=SMALLEST) < 0
    assert find(ring_arrays((3,), 64, bits), lambda x: True, settings=SMALLEST).tolist() == [0, 0, 0]
    assert find(fixed_point(Config(), 8.0), lambda x: True, settings=SMALLEST) == 0.0


@pytest.mark.parametrize(
    ("wanted", "smallest"),
    [
        (lambda s: True, ()),
        (lambda s: np.prod(s) == 2, (2,)),
        (lambda s: np.prod(s) == 128, (128,)),
        (lambda s: np.prod(s) > 129, (130,)),
        (lambda s: len(s) == 4 and 0 not in s, (1, 1, 1, 1)),
        (lambda s: 0 in s, (0,)),
        (lambda s: len(s) == 3 and np.prod(s) > 8 and max(s) < np.prod(s), None),
    ],
)
def test_shapes_of_any_size_and_rank_are_drawn_and_shrink(wanted: Any, smallest: tuple[int, ...] | None) -> None:
    """A fault of size 2, of 128, of more than 129 elements or of four axes is met in a few dozen examples."""
    found = find(shapes(), wanted, settings=settings(SMALLEST, max_examples=150))
    assert smallest is None or len(found) <= len(smallest)
    assert smallest is None or np.prod(found) <= np.prod(smallest)


@given(most=st.integers(1, 300), empty=st.booleans(), rank=st.integers(1, 5), data=st.data())
def test_shapes_keep_to_what_is_asked_for(most: int, empty: bool, rank: int, data: Any) -> None:
    shape = data.draw(shapes(most, empty, rank))
    assert np.prod(shape, dtype=int) <= most
    assert len(shape) <= rank
    assert empty or 0 not in shape


def test_edges_are_in_order_and_within_their_bits() -> None:
    for bits in range(1, 65):
        found = edges(bits)
        assert found == sorted(set(found))
        assert (found[0], found[-1]) == (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


def test_more_bits_than_the_ring_has_are_refused() -> None:
    with pytest.raises(ValueError, match="33 bits in a ring of 32"):
        ring_elements(Config(k=32, f=8), 33)


@given(shape=shapes(), data=st.data())
def test_ring_arrays_have_their_shape(shape: tuple[int, ...], data: Any) -> None:
    x = data.draw(ring_arrays(shape, 64, 10))
    assert (x.shape, x.dtype) == (shape, np.int64)
    assert (np.abs(x) <= 512).all()


@given(data=st.data(), config=st.sampled_from((Config(), Config(k=32, f=8))))
def test_fixed_point_values_are_exact_and_within_their_bound(data: Any, config: Config) -> None:
    bound = data.draw(st.sampled_from((None, 0.5, 3.0)))
    x = data.draw(fixed_point(config, bound, shape=(3,)))
    assert (np.abs(x) <= (2.0**config.value_bits if bound is None else bound)).all()
    units = np.ldexp(x, config.f)
    assert (units == np.rint(units)).all()


@pytest.mark.parametrize("wanted", [0.0, 2.0**-18, -1.0, 8.0, -8.0, 8 - 2.0**-18])
def test_edges_of_the_format_are_drawn(wanted: float) -> None:
    assert find(fixed_point(Config(), 8.0), lambda x: x == wanted, settings=FIND) == wanted


def test_a_bound_that_is_not_positive_is_refused() -> None:
    with pytest.raises(ValueError, match="not positive"):
        fixed_point(bound=0)


@given(pair=broadcast_pairs())
def test_broadcast_pairs_broadcast(pair: Any) -> None:
    x, y, result = pair
    assert (np.zeros(x) + np.zeros(y)).shape == result


def test_broadcast_pairs_stretch_axes_and_miss_some() -> None:
    find(broadcast_pairs(), lambda p: len(p[0]) != len(p[1]) and 1 in p[0] and 3 in p[2], settings=FIND)


@given(shape=shapes(most=200), form=st.sampled_from((ARITH, SUM3, SPLIT, PLAIN, BITS)), data=st.data())
def test_shares_are_worth_their_value(shape: tuple[int, ...], form: str, data: Any) -> None:
    config = data.draw(st.sampled_from((Config(), Config(k=32, f=8))))
    bits = form == BITS
    x = data.draw(ring_arrays(shape, config, config.k)) % 2 == 1 if bits else data.draw(ring_arrays(shape, config))
    t = secret_bits(shape) if bits else Type(shape, FIXED, 0, 1 << 20, form=form)
    held = data.draw(shares_of(x, t, config))
    assert len(held) == 3
    np.testing.assert_array_equal(worth(held, t, Ring(config.k)), x)


def test_shares_may_be_all_zeros_or_all_ones() -> None:
    t = Type((2,), FIXED, 0, 9)
    for word in (0, (1 << 64) - 1):
        find(shares_of([5, -7], t), lambda held, word=word: (held[0][0] == word).all(), settings=FIND)


def test_shares_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        find(shares_of([1, 2], Type((3,), FIXED)), lambda held: True)


@given(tree=pytrees_of_secrets(bound=4.0))
def test_pytrees_hold_arrays_within_their_bound(tree: Any) -> None:
    leaves = jax.tree.leaves(tree)
    assert leaves
    for leaf in leaves:
        assert leaf.dtype in (np.float32, np.int32, np.bool_)
        assert (np.abs(leaf.astype(float)) <= 4).all()


def test_pytrees_nest() -> None:
    find(
        pytrees_of_secrets(),
        lambda t: isinstance(t, dict) and any(isinstance(v, tuple) for v in t.values()),
        settings=FIND,
    )


def test_no_public_name_is_that_of_a_module() -> None:
    """Or it would stand for the module once that is imported."""
    modules = {m.name for m in pkgutil.iter_modules(jmpc.testing.__path__)}
    assert not modules & set(dir(jmpc.testing)) & set(jmpc.testing._HOMES)


@pytest.mark.parametrize("name", sorted(jmpc.testing._HOMES))
def test_every_public_name_is_there(name: str) -> None:
    assert callable(getattr(jmpc.testing, name))
