"""Every form of ring product against sums of wrapped integers in NumPy."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jmpc.errors import ConfigError
from jmpc.ring import blocked, limbs, product
from jmpc.ring.element import Ring

FORMS = product.FORMS
WIDTHS = (8, 16, 32, 64, 5, 20, 45)
MATRIX = (((1,), (0,)), ((), ()))
few = settings(max_examples=12, deadline=None)


def run(function: Any, *operands: np.ndarray, level: int = 0) -> np.ndarray:
    """Compile and run under x64. Level 0 compiles fast, and XLA's own rewrites are the same."""
    with jax.enable_x64(True):
        compiled = jax.jit(function).lower(*operands).compile({"xla_backend_optimization_level": level})
        return np.asarray(compiled(*operands))


def same(got: np.ndarray, want: np.ndarray, k: int) -> None:
    assert got.dtype == want.dtype == Ring(k).dtype
    np.testing.assert_array_equal(Ring(k).dtype.type((1 << k) - 1) & got, Ring(k).dtype.type((1 << k) - 1) & want)


def edges(k: int) -> list[int]:
    """Ring elements at the ends of the ring and at the ends of the limbs of each form."""
    full, alternating = (1 << k) - 1, sum(1 << i for i in range(0, k, 2))
    found = {0, 1, full, full - 1, 1 << (k - 1), (1 << (k - 1)) - 1, alternating, alternating << 1}
    for cuts in (limbs.KARATSUBA_X, limbs.KARATSUBA_Y, limbs.byte_cuts(k, k)):
        low = -sum(1 << (s + w - 1) for s, w in cuts)
        found |= {low, low - 1, -low, -low - 1}
    return sorted({value & full for value in found})


def words(rng: np.random.Generator, k: int, shape: tuple[int, ...]) -> np.ndarray:
    """Half uniform elements, half edges."""
    uniform = rng.integers(0, 1 << k, shape, dtype=Ring(k).dtype)
    chosen = rng.choice(np.array(edges(k), Ring(k).dtype), shape)
    return np.where(rng.integers(0, 2, shape) == 1, uniform, chosen).astype(Ring(k).dtype)


def reference_dot(x: np.ndarray, y: np.ndarray, dims: Any) -> np.ndarray:
    """By the definition of `lax.dot_general`, one wrapped product at a time."""
    (xc, yc), (xb, yb) = dims
    letters = itertools.count()
    names = {("x", d): next(letters) for d in range(x.ndim)}
    shared = {(yd): names["x", xd] for xd, yd in zip((*xc, *xb), (*yc, *yb), strict=True)}
    y_names = [shared[d] if d in shared else next(letters) for d in range(y.ndim)]
    out = [names["x", d] for d in xb]
    out += [names["x", d] for d in range(x.ndim) if d not in (*xc, *xb)]
    out += [y_names[d] for d in range(y.ndim) if d not in shared]
    return np.einsum(x, [names["x", d] for d in range(x.ndim)], y, y_names, out)


@st.composite
def dots(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], Any]:
    """Shapes and dimension numbers, each kind of dimension 0 to 2 times, in any order."""
    size = st.integers(0, 5) | st.sampled_from([1, 17, 40])
    batch, inner, rows, columns = (draw(st.lists(size, max_size=2)) for _ in range(4))
    x_order = draw(st.permutations(range(len(batch) + len(inner) + len(rows))))
    y_order = draw(st.permutations(range(len(batch) + len(inner) + len(columns))))
    nb, shared = len(batch), len(batch) + len(inner)
    x_kinds, y_kinds = [*batch, *inner, *rows], [*batch, *inner, *columns]
    x_at = [x_order.index(i) for i in range(shared)]
    y_at = [y_order.index(i) for i in range(shared)]
    dims = ((tuple(x_at[nb:]), tuple(y_at[nb:])), (tuple(x_at[:nb]), tuple(y_at[:nb])))
    x_shape, y_shape = tuple(x_kinds[i] for i in x_order), tuple(y_kinds[i] for i in y_order)
    if math.prod(x_shape) * math.prod([*columns, 1]) > 20_000 or math.prod(y_shape) > 20_000:
        x_shape, y_shape = tuple(min(n, 5) for n in x_shape), tuple(min(n, 5) for n in y_shape)
    return x_shape, y_shape, dims


@pytest.mark.parametrize("form", FORMS)
@few
@given(case=dots(), k=st.sampled_from(WIDTHS), seed=st.integers(0, 1000))
def test_dot_general_takes_any_dimension_numbers(form: str, case: Any, k: int, seed: int) -> None:
    x_shape, y_shape, dims = case
    rng = np.random.default_rng(seed)
    x, y = words(rng, k, x_shape), words(rng, k, y_shape)
    got = run(partial(product.dot_general, dimension_numbers=dims, k=k, form=form), x, y)
    same(got, reference_dot(x, y, dims), k)


@pytest.mark.parametrize("form", FORMS)
@few
@given(
    rows=st.integers(1, 20),
    inner=st.integers(0, 120),
    columns=st.integers(1, 20) | st.sampled_from([257, 300, 600]),
    k=st.sampled_from(WIDTHS),
    count=st.integers(1, 3),
)
def test_dot_sum_adds_products(form: str, rows: int, inner: int, columns: int, k: int, count: int) -> None:
    rng = np.random.default_rng(rows + inner + columns)
    pairs = [(words(rng, k, (rows, inner)), words(rng, k, (inner, columns))) for _ in range(count)]

    def total(*flat: Any) -> Any:
        return product.dot_sum(list(zip(flat[::2], flat[1::2], strict=True)), MATRIX, k=k, form=form)

    want = np.zeros((rows, columns), Ring(k).dtype)
    for x, y in pairs:
        want = want + x @ y
    same(run(total, *itertools.chain(*pairs)), want, k)


@pytest.mark.parametrize("shape", [(3, 200, 260), (20, 33, 40), (40, 96, 17), (1, 300, 9), (9, 300, 1), (2, 1, 2)])
@pytest.mark.parametrize("k", [8, 16, 32, 64])
def test_integer_form_as_it_is_compiled_in_use(k: int, shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    x, y = words(rng, k, shape[:2]), words(rng, k, shape[1:])
    same(run(lambda x, y: product.dot_general(x, y, MATRIX, k=k), x, y, level=3), x @ y, k)


def worst(cuts: limbs.Cuts, low: bool) -> int:
    """Every limb at an end of its range but the first, one off: sums of neighbours are then odd, and a sum of an odd
    number of their products has to round as soon as it passes 2^53."""
    ends = [(-(1 << (w - 1)) if low else (1 << (w - 1)) - 1) << s for s, w in cuts]
    return (sum(ends) + (1 if low else -1)) % (1 << 64)


def odd_limbs(cuts: limbs.Cuts) -> int:
    """Every limb odd and next to its lower end, for plans that multiply limb by limb."""
    return sum((1 - (1 << (w - 1))) << s for s, w in cuts) % (1 << 64)


@pytest.mark.parametrize("inner", [1023, 1024, 1025, 2047, 5001])
@pytest.mark.parametrize(("x_low", "y_low"), [(True, True), (True, False), (False, False)])
def test_sums_of_extreme_limbs_are_exact(inner: int, x_low: bool, y_low: bool) -> None:
    x = np.full((2, inner), worst(limbs.KARATSUBA_X, x_low), np.uint64)
    y = np.full((inner, 2), worst(limbs.KARATSUBA_Y, y_low), np.uint64)
    same(run(partial(product.dot_general, dimension_numbers=MATRIX, k=64, form="float64"), x, y), x @ y, 64)


def test_that_case_is_wrong_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limbs, "plan", lambda *_: (2 * limbs.BLOCK, None))
    inner = 2 * limbs.BLOCK - 1
    x = np.full((2, inner), worst(limbs.KARATSUBA_X, True), np.uint64)
    y = np.full((inner, 2), worst(limbs.KARATSUBA_Y, True), np.uint64)
    got = run(partial(product.dot_general, dimension_numbers=MATRIX, k=64, form="float64"), x, y)
    assert (got != x @ y).any()


@pytest.mark.parametrize(("k", "x_bits", "y_bits"), [(32, 32, 32), (40, 40, 40), (64, 64, 8), (64, 20, 64)])
@pytest.mark.parametrize("inner", [1023, 1025, 4095, 4097, 9001])
def test_extreme_limbs_of_other_plans(k: int, x_bits: int, y_bits: int, inner: int) -> None:
    _, tiles = limbs.plan(k, x_bits, y_bits, inner)
    assert tiles is not None
    mask = (1 << k) - 1
    x = odd_limbs(tuple((s, w) for s, w, _ in tiles))
    y = odd_limbs(tiles[0][2])
    xs = np.full((2, inner), x & mask, Ring(k).dtype)
    ys = np.full((inner, 1), y & mask, Ring(k).dtype)
    multiply = partial(product.dot_general, dimension_numbers=MATRIX, k=k, form="float64", x_bits=x_bits, y_bits=y_bits)
    same(run(multiply, xs, ys), xs @ ys, k)


@pytest.mark.parametrize("k", [16, 32, 64])
@pytest.mark.parametrize("inner", [limbs.BYTE_BLOCK, limbs.BYTE_BLOCK + 1, 140_000])
def test_byte_limbs_at_their_ends(k: int, inner: int) -> None:
    lowest = -sum(1 << (s + w - 1) for s, w in limbs.byte_cuts(k, k)) % (1 << k)
    x, y = np.full((1, inner), lowest, Ring(k).dtype), np.full((inner, 1), lowest, Ring(k).dtype)
    same(run(partial(product.dot_general, dimension_numbers=MATRIX, k=k, form="int8"), x, y), x @ y, k)


@given(k=st.integers(1, 64), x_bits=st.integers(1, 64), y_bits=st.integers(1, 64), power=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_tiles_cover_what_counts_once_and_fit_the_mantissa(k: int, x_bits: int, y_bits: int, power: int) -> None:
    x_bits, y_bits = min(x_bits, k), min(y_bits, k)
    seen = np.zeros((64, 64), int)
    for shift, width, cuts in limbs.cover(k, x_bits, y_bits, 1 << power):
        for up, height in cuts:
            seen[shift : shift + width, up : up + height] += 1
            assert 2 ** (width - 1) * 2 ** (height - 1) * 2**power <= 2**53
    counts = np.add.outer(np.arange(64), np.arange(64)) < k
    counts[x_bits:, :] = counts[:, y_bits:] = False
    assert (seen[counts] == 1).all()
    assert (seen[x_bits:, :] == 0).all()
    assert (seen[:, y_bits:] == 0).all()


@pytest.mark.parametrize(
    ("k", "x_bits", "y_bits", "products"), [(64, 64, 64, 6), (32, 32, 32, 2), (16, 16, 16, 1), (64, 64, 8, 2)]
)
def test_number_of_limb_products(k: int, x_bits: int, y_bits: int, products: int) -> None:
    assert sum(len(cuts) for _, _, cuts in limbs.cover(k, x_bits, y_bits, 1024)) == products


@pytest.mark.parametrize("form", FORMS)
@few
@given(
    k=st.sampled_from((16, 32, 45, 64)), x_bits=st.integers(1, 14), y_bits=st.integers(1, 64), seed=st.integers(0, 99)
)
def test_narrow_operands(form: str, k: int, x_bits: int, y_bits: int, seed: int) -> None:
    rng, y_bits = np.random.default_rng(seed), min(y_bits, k)
    ends = [-(1 << (x_bits - 1)), (1 << (x_bits - 1)) - 1, 0, -1]
    x = Ring(k).from_int(rng.choice(ends, (3, 50)))
    tops = np.array([-(1 << (y_bits - 1)), (1 << (y_bits - 1)) - 1], np.int64)
    y = Ring(k).from_int(rng.choice(tops, (50, 4)))
    multiply = partial(product.dot_general, dimension_numbers=MATRIX, k=k, form=form, x_bits=x_bits, y_bits=y_bits)
    same(run(multiply, x, y), x @ y, k)


def reference_conv(x: np.ndarray, y: np.ndarray, p: dict[str, Any]) -> np.ndarray:
    """By the definition, one output element at a time."""
    numbers = p["dimension_numbers"]
    x, y = x.transpose(numbers.lhs_spec), y.transpose(numbers.rhs_spec)
    spatial = range(2, x.ndim)
    for d, gap, (low, high) in zip(spatial, p["lhs_dilation"], p["padding"], strict=True):
        spread = np.zeros([(n - 1) * gap + 1 if i == d else n for i, n in enumerate(x.shape)], x.dtype)
        spread[(slice(None),) * d + (slice(None, None, gap),)] = x
        ends = [(max(low, 0), max(high, 0)) if i == d else (0, 0) for i in range(x.ndim)]
        cut = [slice(max(-low, 0), n + min(high, 0)) if i == d else slice(None) for i, n in enumerate(spread.shape)]
        x = np.pad(spread[tuple(cut)], ends)
    reach = [(n - 1) * gap + 1 for n, gap in zip(y.shape[2:], p["rhs_dilation"], strict=True)]
    sides = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, p["window_strides"], strict=True)]
    by_batch, by_feature = p["batch_group_count"], p["feature_group_count"]
    n, features = x.shape[0] // by_batch, y.shape[1]
    result = np.zeros((n, y.shape[0], *sides), x.dtype)
    per_group = y.shape[0] // (by_batch * by_feature)
    for place in itertools.product(*(range(side) for side in sides)):
        window = tuple(
            slice(at * s, at * s + r, gap)
            for at, s, r, gap in zip(place, p["window_strides"], reach, p["rhs_dilation"], strict=True)
        )
        for b, o in itertools.product(range(n), range(y.shape[0])):
            group = o // per_group
            row = b if by_batch == 1 else group * n + b
            first = 0 if by_feature == 1 else group * features
            part = x[(row, slice(first, first + features), *window)]
            result[(b, o, *place)] = (part * y[o]).sum(dtype=x.dtype)
    order = [0] * x.ndim
    for position, d in enumerate(numbers.out_spec):
        order[d] = position
    return result.transpose(order)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Operand shapes and parameters with at least one output position."""
    rank = draw(st.integers(0, 2))
    small, each = st.integers(1, 3), st.integers(1, 2)
    groups, which = draw(small), draw(st.sampled_from(["feature", "batch"]))
    window = draw(st.tuples(*[small] * rank))
    stride, left, right = (draw(st.tuples(*[each] * rank)) for _ in range(3))
    pads = draw(st.tuples(*[st.tuples(st.integers(-1, 2), st.integers(-1, 2))] * rank))
    reach = [(n - 1) * gap + 1 for n, gap in zip(window, right, strict=True)]
    image = tuple(r + draw(st.integers(2, 4)) for r in reach)
    features, outputs, batch = draw(small), draw(small) * groups, draw(each)
    by_feature, by_batch = (groups, 1) if which == "feature" else (1, groups)
    lhs, rhs, out = (tuple(draw(st.permutations(range(rank + 2)))) for _ in range(3))
    numbers = lax.ConvDimensionNumbers(lhs, rhs, out)
    x = place((batch * by_batch, features * by_feature, *image), lhs)
    params = {
        "window_strides": stride,
        "padding": pads,
        "lhs_dilation": left,
        "rhs_dilation": right,
        "dimension_numbers": numbers,
        "feature_group_count": by_feature,
        "batch_group_count": by_batch,
    }
    return x, place((outputs, features, *window), rhs), params


def plain_params(x: tuple[int, ...], y: tuple[int, ...]) -> dict[str, Any]:
    return {
        "window_strides": (1, 1),
        "padding": ((0, 0), (0, 0)),
        "lhs_dilation": (1, 1),
        "rhs_dilation": (1, 1),
        "dimension_numbers": lax.conv_dimension_numbers(x, y, ("NHWC", "HWIO", "NHWC")),
        "feature_group_count": 1,
        "batch_group_count": 1,
    }


def place(sizes: tuple[int, ...], spec: tuple[int, ...]) -> tuple[int, ...]:
    shape = [0] * len(sizes)
    for size, d in zip(sizes, spec, strict=True):
        shape[d] = size
    return tuple(shape)


@pytest.mark.parametrize("form", FORMS)
@few
@given(case=convolutions(), k=st.sampled_from((8, 16, 32, 64, 45)), pairs=st.integers(1, 2), seed=st.integers(0, 99))
def test_convolutions_with_any_parameters(form: str, case: Any, k: int, pairs: int, seed: int) -> None:
    x_shape, y_shape, params = case
    rng = np.random.default_rng(seed)
    held = [(words(rng, k, x_shape), words(rng, k, y_shape)) for _ in range(pairs)]

    def total(*flat: Any) -> Any:
        if pairs == 1:
            return product.conv_general_dilated(*flat, k=k, form=form, **params)
        return product.conv_sum(list(zip(flat[::2], flat[1::2], strict=True)), k=k, form=form, **params)

    want = reference_conv(*held[0], params)
    for x, y in held[1:]:
        want = want + reference_conv(x, y, params)
    same(run(total, *itertools.chain(*held)), want, k)


@pytest.mark.parametrize("features", [1, 4, 20])
def test_integer_convolution_as_it_is_compiled_in_use(features: int) -> None:
    rng = np.random.default_rng(features)
    x_shape, y_shape = (2, 7, 6, features), (3, 2, features, 9)
    x, y, params = words(rng, 64, x_shape), words(rng, 64, y_shape), plain_params(x_shape, y_shape)
    assert (features * 6 <= product.SMALL_WINDOW) == (features < 20)
    got = run(partial(product.conv_general_dilated, k=64, **params), x, y, level=3)
    same(got, reference_conv(x, y, params), 64)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("x", "y"), [((0, 5, 5, 2), (3, 3, 2, 4)), ((2, 2, 5, 2), (3, 3, 2, 4))])
def test_convolutions_without_an_output(form: str, x: tuple[int, ...], y: tuple[int, ...]) -> None:
    params = plain_params(x, y)
    empty, kernel = np.zeros(x, np.uint64), np.ones(y, np.uint64)
    plain = jax.eval_shape(partial(lax.conv_general_dilated, **params), empty, kernel)
    got = run(partial(product.conv_general_dilated, k=64, form=form, **params), empty, kernel)
    assert got.shape == plain.shape
    assert got.size == 0


def primitives(jaxpr: Any) -> set[str]:
    """Names of all primitives, those of loop bodies too."""
    found = set()
    for equation in jaxpr.eqns:
        found.add(equation.primitive.name)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found |= primitives(inner)
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_trace_stays_small(form: str) -> None:
    """The many slabs of the integer form are one call, traced once for all products of its shape."""
    x, y = np.zeros((3, 5, 300), np.uint64), np.zeros((3, 300, 700), np.uint64)
    dims = (((2,), (1,)), ((0,), (0,)))
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(partial(product.dot_general, dimension_numbers=dims, k=64, form=form))(x, y)
    names = primitives(jaxpr.jaxpr)
    assert names & {"dot_general", "scan", "while"}
    assert form != "integer" or len(jaxpr.jaxpr.eqns) < 10
    assert not names & {"closed_call", "custom_jvp_call", "custom_vjp_call"}


def test_an_unknown_form_is_refused() -> None:
    x = np.zeros((2, 2), np.uint64)
    with pytest.raises(ConfigError, match="fast"):
        product.dot_general(x, x, MATRIX, k=64, form="fast")


@given(
    batch=st.integers(1, 3), rows=st.integers(2, 9), inner=st.integers(1, 100), columns=st.sampled_from([2, 9, 80, 700])
)
@few
def test_slabs_agree_with_the_plain_dot(batch: int, rows: int, inner: int, columns: int) -> None:
    rng = np.random.default_rng(inner)
    x, y = words(rng, 64, (batch, rows, inner)), words(rng, 64, (batch, inner, columns))
    width = -(-columns // 256)
    slabs = run(lambda x, y: blocked._tiles([(x, y)], width) if width > 1 else blocked._tile([(x, y)]), x, y)
    np.testing.assert_array_equal(slabs, x @ y)
