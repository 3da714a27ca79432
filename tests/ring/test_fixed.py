"""Fixed point: what goes in comes out to half a unit, and what the format cannot hold is refused, not shown."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.errors import RangeError
from jmpc.ring.element import Ring
from jmpc.ring.fixed import decode, encode, greatest

RING, F = Ring(64), 18
LIMIT = (1 << 44) - 1
PATH = "params['w'][0]"
FLOATS = st.floats(-(2.0**25), 2.0**25, allow_nan=False)


@given(values=st.lists(FLOATS, max_size=8), scale=st.integers(0, 18), k=st.sampled_from((32, 64)))
def test_floats_come_back_within_half_a_unit(values: list[float], scale: int, k: int) -> None:
    ring = Ring(k)
    x = np.array(values, np.float64) / (1 if k == 64 else 2**15)
    limit = (1 << (k - 2)) - 1
    back = decode(encode(x, scale, ring, limit, PATH), scale, ring, np.dtype(np.float64))
    assert (np.abs(back - x) <= 2.0 ** (-scale - 1)).all()


@given(values=st.lists(st.integers(-(2**62), 2**62), max_size=8))
def test_integers_come_back_exactly(values: list[int]) -> None:
    x = np.array(values, np.int64)
    back = decode(encode(x, 0, RING, 1 << 62, PATH), 0, RING, np.dtype(np.int64))
    np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32", "float16", "float32", "float64", "bool"])
def test_each_dtype_comes_back_as_it_was(dtype: str) -> None:
    x = np.array([0, 1, 1, 0]).astype(dtype)
    back = decode(encode(x, F, RING, LIMIT, PATH), F, RING, np.dtype(dtype))
    np.testing.assert_array_equal(back, x)
    assert back.dtype == x.dtype


def test_halves_round_to_even_and_shapes_stay() -> None:
    x = np.array([[0.5, 1.5], [-0.5, 2.5]]) / 2**F
    assert RING.to_int(encode(x, F, RING, LIMIT, PATH)).tolist() == [[0, 2], [0, 2]]
    assert encode(np.zeros((0, 3)), F, RING, LIMIT, PATH).shape == (0, 3)
    assert encode(np.float32(1.0), F, RING, LIMIT, PATH).shape == ()


def test_an_integer_decoded_is_rounded_down_and_a_bool_is_whether_it_is_zero() -> None:
    elements = RING.from_int(np.array([-1, 0, 1 << F, -(1 << F) - 1]))
    assert decode(elements, F, RING, np.dtype(np.int32)).tolist() == [-1, 0, 1, -2]
    assert decode(elements, F, RING, np.dtype(bool)).tolist() == [True, False, True, True]


# --- refusals


@pytest.mark.parametrize("limit", [1, 2**53 + 1, 2**54, 2**54 + 4, 2**54 - 2, 2**62, 2**62 - 1, 2**63 - 1])
def test_the_limit_itself_is_held_and_the_next_float_is_not(limit: int) -> None:
    most = greatest(limit)
    next_one = max(float(np.nextafter(most, np.inf)), most + 1)
    assert most <= limit < next_one
    for sign in (1, -1):
        assert RING.to_int(encode(np.array([sign * most / 2**F]), F, RING, limit, PATH)).tolist() == [sign * int(most)]
        with pytest.raises(RangeError, match="1 of 2 elements"):
            encode(np.array([0.0, sign * next_one / 2**F]), F, RING, limit, PATH)


SECRET = 12345.6789e9


def refused(x: np.ndarray, scale: int = F, limit: int = LIMIT) -> RangeError:
    with pytest.raises(RangeError) as caught:
        encode(x, scale, RING, limit, PATH)
    assert caught.value.where == PATH
    assert caught.value.todo
    return caught.value


@given(bad=st.lists(st.sampled_from([np.nan, np.inf, -np.inf]), min_size=1, max_size=4), good=st.integers(0, 5))
def test_nan_and_infinity_are_counted(bad: list[float], good: int) -> None:
    error = refused(np.array([*bad, *[0.5] * good]))
    assert f"{len(bad)} of {len(bad) + good} elements are NaN or infinite" in str(error)


def test_values_beyond_the_limit_are_counted_and_not_shown() -> None:
    error = refused(np.array([1.0, SECRET, -SECRET, 2.0, -3.0]))
    assert "2 of 5 elements are beyond the number format" in str(error)
    assert "12345" not in str(error)
    assert "1.23" not in str(error)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "int32"])
def test_integers_beyond_the_limit_are_refused(dtype: str) -> None:
    x = np.array([1, 77777, 3], dtype)
    error = refused(x, limit=70000 << F)
    assert "1 of 3" in str(error)
    assert "77777" not in str(error)
    encode(x, F, RING, 77777 << F, PATH)


@pytest.mark.parametrize("x", [np.array([-(2**63)]), np.array([2**63], np.uint64), np.array([2**64 - 1], np.uint64)])
def test_the_ends_of_the_integers_are_refused(x: np.ndarray) -> None:
    refused(x)
    refused(x, scale=0, limit=(1 << 62) - 1)


@pytest.mark.parametrize("scale", [0, 1, F])
def test_the_limit_itself_is_allowed_and_one_unit_more_is_not(scale: int) -> None:
    for sign in (1, -1):
        top = np.array([sign * LIMIT / 2**scale])
        assert RING.to_int(encode(top, scale, RING, LIMIT, PATH))[0] == sign * LIMIT
        refused(np.array([sign * (LIMIT + 1) / 2**scale]), scale)


def test_a_float_that_overflows_when_scaled_is_refused() -> None:
    assert "beyond the number format" in str(refused(np.array([1e308])))
    assert "beyond the number format" in str(refused(np.array([3.4e38], np.float32)))


def test_a_limit_that_no_float_holds_is_kept() -> None:
    """2^62 - 1 is 2^62 as a float; 2^62 is beyond it."""
    refused(np.array([2.0**62]), scale=0, limit=(1 << 62) - 1)
    encode(np.array([2.0**62 - 512]), 0, RING, (1 << 62) - 1, PATH)
