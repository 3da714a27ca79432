"""Integers, order, indices, control flow, linear algebra: all that is not a real function of one or two numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.scipy import special

import jmpc
from tests.operations.entry import Entry, bits, integers, normal

PUBLIC_ROWS = np.array([2, 0, 3, 3], np.int32)


def whole(name: str, function: Callable[..., Any], dtype: Any = np.int32, count: int = 1, **more: Any) -> Entry:
    low, high = more.pop("low", None), more.pop("high", None)
    return Entry(name, "Integers and bits", function, integers(dtype, *[(24,)] * count, low=low, high=high), **more)


INTEGERS = (
    *(
        whole(f"add ({np.dtype(d)})", jnp.add, d, 2)
        for d in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32)
    ),
    whole("subtract", jnp.subtract, np.int32, 2),
    whole("multiply", jnp.multiply, np.int32, 2),
    whole("multiply (uint8)", jnp.multiply, np.uint8, 2),
    whole("negative", jnp.negative),
    whole("abs", jnp.abs),
    whole("sign", jnp.sign),
    whole("maximum", jnp.maximum, np.int32, 2),
    whole("less", jnp.less, np.int32, 2),
    whole("equal", jnp.equal, np.uint32, 2, low=0, high=2),
    whole("clip", lambda x: jnp.clip(x, -5, 100)),
    whole("bitwise_and", jnp.bitwise_and, np.int32, 2),
    whole("bitwise_or", jnp.bitwise_or, np.int32, 2),
    whole("bitwise_xor", jnp.bitwise_xor, np.uint16, 2),
    whole("bitwise_not", jnp.bitwise_not),
    whole("shift_left", lambda x: x << 3),
    whole("shift_right_arithmetic", lambda x: x >> 3),
    whole("shift_right_logical", lambda x: lax.shift_right_logical(x, jnp.int32(3))),
    Entry(
        "shift by a secret",
        "Integers and bits",
        lambda x, n: lax.shift_left(x, n),
        lambda: (np.arange(8, dtype=np.int32) * 77, np.array([0, 1, 5, 30, 31, 32, 40, 2], np.int32)),
    ),
    whole("population_count", lax.population_count, np.uint32),
    whole("clz", lax.clz, np.uint32),
    Entry(
        "floor_divide (int)",
        "Integers and bits",
        jnp.floor_divide,
        lambda: (np.array([7, -7, 7, -7, 100, 2**30], np.int32), np.array([2, 2, -2, -2, 7, 3], np.int32)),
    ),
    Entry(
        "remainder (int)",
        "Integers and bits",
        jnp.remainder,
        lambda: (np.array([7, -7, 7, -7, 100, 2**30], np.int32), np.array([2, 2, -2, -2, 7, 3], np.int32)),
    ),
    whole("divide by a constant (int)", lambda x: x // 10),
    whole("gcd", jnp.gcd, np.int16, 2, low=0, high=255),
    whole("lcm", jnp.lcm, np.int16, 2, low=1, high=100),
    whole("to float", lambda x: x.astype(jnp.float32), np.int16),
    whole("int32 to int8", lambda x: x.astype(jnp.int8)),
    whole("int8 to uint32", lambda x: x.astype(jnp.uint32), np.int8),
    whole("prod", jnp.prod, np.int8, low=-3, high=3),
    Entry("logical_and", "Integers and bits", jnp.logical_and, bits((9,), (9,))),
    Entry("logical_xor", "Integers and bits", jnp.logical_xor, bits((9,), (9,))),
    Entry("logical_not", "Integers and bits", jnp.logical_not, bits((9,))),
    Entry("all", "Integers and bits", jnp.all, bits((3, 4))),
    Entry("any", "Integers and bits", jnp.any, bits((3, 4))),
)


def order(name: str, function: Callable[..., Any], shape: tuple[int, ...] = (17,), **more: Any) -> Entry:
    return Entry(name, "Order", function, normal(shape, scale=4.0), **more)


ORDER = (
    order("max", lambda x: jnp.max(x, axis=1), (5, 9), spu="exact"),
    order("min", lambda x: jnp.min(x, axis=1), (5, 9)),
    order("argmax", lambda x: jnp.argmax(x, axis=1), (5, 9), spu="off by 8 on ties"),
    order("argmin", lambda x: jnp.argmin(x, axis=1), (5, 9)),
    order("sort", jnp.sort, spu="exact"),
    order("sort (rows, descending)", lambda x: jnp.sort(x, axis=1, descending=True), (3, 8)),
    order("argsort", jnp.argsort),
    order("top_k", lambda x: lax.top_k(x, 3), (2, 9)),
    order("median", jnp.median, absolute=1e-5),
    order("quantile", lambda x: jnp.quantile(x, 0.3), absolute=1e-4),
    order("percentile", lambda x: jnp.percentile(x, 30.0), absolute=1e-4),
    Entry(
        "unique",
        "Order",
        lambda x: jnp.unique(x, size=4, fill_value=9),
        lambda: (np.array([3, 1, 3, 2, 1], np.int32),),
        limited="with a size",
    ),
    Entry(
        "searchsorted",
        "Order",
        jnp.searchsorted,
        lambda: (np.array([0.0, 1, 2, 5], np.float32), np.array([-1.0, 1, 3, 9], np.float32)),
    ),
    order("cumsum", jnp.cumsum, absolute=0.0),
    order("cumprod", lambda x: jnp.cumprod(x / 4), (9,), absolute=1e-3),
    order("cummax", lambda x: lax.cummax(x)),
    order("cummin", lambda x: lax.cummin(x, reverse=True)),
    order("cumlogsumexp", lambda x: lax.cumlogsumexp(x), (9,), absolute=2e-3),
)

TABLE = normal((5, 3))
SECRET_INDEX = (np.array([4, 0, 2], np.int32),)


(EMBEDDING,) = normal((5, 3), seed=3)()


def _embed(tokens: jax.Array, table: jax.Array) -> jax.Array:
    return jnp.take(table, tokens, axis=0)


def indexed(name: str, function: Callable[..., Any], *more_inputs: np.ndarray, **more: Any) -> Entry:
    (table,) = TABLE()
    return Entry(name, "Indices", function, lambda: (table, *more_inputs), **more)


INDICES = (
    indexed("gather, public", lambda x: x[PUBLIC_ROWS]),
    indexed("take", lambda x: jnp.take(x, PUBLIC_ROWS, axis=0)),
    indexed("x.at[i].set, public", lambda x: x.at[PUBLIC_ROWS[:2]].set(1.0)),
    indexed("x.at[i].add, public", lambda x: x.at[PUBLIC_ROWS].add(1.0)),
    indexed("dynamic_slice, public", lambda x: lax.dynamic_slice(x, (1, 0), (2, 3))),
    indexed("gather, secret", lambda x, i: x[i], SECRET_INDEX[0], spu="100 sends an index"),
    indexed("take_along_axis, secret", lambda x, i: jnp.take_along_axis(x, i[:, None], axis=0), SECRET_INDEX[0]),
    indexed("dynamic_slice, secret", lambda x, i: lax.dynamic_slice(x, (i, 0), (2, 3)), np.int32(2)),
    indexed("dynamic_update_slice, secret", lambda x, i: lax.dynamic_update_slice(x, x[:2] * 2, (i, 0)), np.int32(3)),
    indexed("x.at[i].set, secret", lambda x, i: x.at[i].set(1.0), SECRET_INDEX[0]),
    indexed("x.at[i].add, secret", lambda x, i: x.at[i].add(1.0), SECRET_INDEX[0]),
    indexed("x.at[i].max, secret", lambda x, i: x.at[i].max(0.25), SECRET_INDEX[0]),
    Entry("embedding lookup, secret", "Indices", _embed, lambda: (np.array([3, 0, 2, 3], np.int32), EMBEDDING)),
    Entry("one_hot", "Indices", lambda i: jax.nn.one_hot(i, 5), lambda: SECRET_INDEX),
)


def flow(name: str, function: Callable[..., Any], **more: Any) -> Entry:
    return Entry(
        name, "Control flow and transforms", function, normal((6,)), absolute=more.pop("absolute", 1e-4), **more
    )


def _bounded_loop(x: jax.Array) -> jax.Array:
    return jmpc.bounded_while(lambda s: s[0] < 4.0, lambda s: (s[0] + 1.0, s[1] * 0.5), (jnp.abs(x[0]), x), 5)[1]


@jax.custom_jvp
def _doubled(x: jax.Array) -> jax.Array:
    return 2.0 * x


_doubled.defjvp(lambda primals, tangents: (_doubled(primals[0]), 3.0 * tangents[0]))

CONTROL = (
    flow("scan", lambda x: lax.scan(lambda c, v: (c * 0.5 + v, c), 0.0, x)),
    flow("fori_loop", lambda x: lax.fori_loop(0, 3, lambda i, c: c * 0.5 + i, x)),
    flow(
        "while_loop, public", lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 0.5), (0, x))[1]
    ),
    flow("bounded_while, secret", _bounded_loop),
    flow("cond, public", lambda x: lax.cond(x.shape[0] > 3, jnp.negative, jnp.abs, x)),
    flow("cond, secret", lambda x: lax.cond(x[0] > 0, lambda v: v * 2.0, lambda v: v - 1.0, x)),
    flow("switch, secret", lambda x: lax.switch(jnp.int32(x[0] > 0), [jnp.negative, lambda v: v * 2.0], x)),
    flow("where", lambda x: jnp.where(x > 0, x, -1.0)),
    flow("map", lambda x: lax.map(lambda v: v * v, x)),
    flow("associative_scan", lambda x: lax.associative_scan(jnp.add, x)),
    flow("vmap", lambda x: jax.vmap(lambda v: v * x)(x)),
    flow("grad", jax.grad(lambda x: jnp.sum(jnp.tanh(x) ** 2)), absolute=1e-3),
    flow("jvp", lambda x: jax.jvp(lambda v: v * v, (x,), (x,))[1]),
    flow("vjp", lambda x: jax.vjp(lambda v: v * v, x)[1](x)[0]),
    flow("linearize", lambda x: jax.linearize(lambda v: v * v, x)[1](x)),
    flow("checkpoint", jax.grad(jax.checkpoint(lambda x: jnp.sum(x * x * x)))),
    flow("custom_jvp", jax.grad(lambda x: jnp.sum(_doubled(x)))),
)


def matrices(*shapes: tuple[int, ...], definite: bool = False) -> Callable[[], tuple[np.ndarray, ...]]:
    arrays = normal(*shapes, seed=3)()
    if not definite:
        return lambda: arrays
    first = arrays[0] @ arrays[0].T + np.eye(shapes[0][0], dtype=np.float32)
    return lambda: (first, *arrays[1:])


def algebra(name: str, function: Callable[..., Any], inputs: Callable[[], Any], absolute: float, **more: Any) -> Entry:
    return Entry(
        name, "Linear algebra", function, inputs, more.pop("domain", "small, well conditioned"), absolute, **more
    )


SQUARE, PAIR = matrices((4, 4)), matrices((4, 4), (4, 4))
DEFINITE = matrices((4, 4), definite=True)
SYSTEM = matrices((4, 4), (4,), definite=True)
ALGEBRA = (
    algebra("matmul", jnp.matmul, PAIR, 1e-4, domain="result in the format", spu="6e-4 at 1024"),
    algebra("einsum", lambda x, y: jnp.einsum("ij,kj->ik", x, y), PAIR, 1e-4, domain="result in the format"),
    algebra("tensordot", lambda x, y: jnp.tensordot(x, y, 1), PAIR, 1e-4, domain="result in the format"),
    algebra("kron", jnp.kron, matrices((2, 2), (2, 3)), 1e-4, domain="result in the format"),
    algebra("matrix_power", lambda x: jnp.linalg.matrix_power(x / 2, 3), SQUARE, 1e-3),
    algebra("norm", jnp.linalg.norm, SQUARE, 1e-3),
    algebra("cholesky", jnp.linalg.cholesky, DEFINITE, 1e-3),
    algebra(
        "triangular_solve",
        lambda a, b: jax.scipy.linalg.solve_triangular(jnp.tril(a) + 2 * jnp.eye(4), b, lower=True),
        SYSTEM,
        1e-3,
    ),
    algebra("solve", jnp.linalg.solve, SYSTEM, 1e-2),
    algebra("inv", jnp.linalg.inv, DEFINITE, 1e-2),
    algebra("det", jnp.linalg.det, DEFINITE, 1e-1),
    algebra("qr", lambda x: jnp.abs(jnp.linalg.qr(x)[1]), SQUARE, 1e-2),
    algebra("svd", lambda x: jnp.linalg.svd(x, compute_uv=False), SQUARE, 1e-2),
    algebra("eigh", lambda x: jnp.linalg.eigvalsh(x), DEFINITE, 1e-2),
    algebra("convolve", lambda x: jnp.convolve(x[0], x[1]), SQUARE, 1e-4, domain="result in the format"),
    algebra("fft", lambda x: jnp.abs(jnp.fft.rfft(x[0])), SQUARE, 1e-3),
    algebra("ifft", lambda x: jnp.real(jnp.fft.ifft(jnp.fft.fft(x[0]))), SQUARE, 1e-3),
)


IMAGE = normal((1, 4, 4, 1))
WINDOW = ((1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _max_pool(x: jax.Array) -> jax.Array:
    return lax.reduce_window(x, -jnp.inf, lax.max, *WINDOW)


def _drawn(x: jax.Array) -> jax.Array:
    """Of a public key: noise that all know."""
    first, second = jax.random.split(jax.random.fold_in(jax.random.key(7), 1))
    return x + jax.random.normal(first, x.shape, jnp.float32) + jax.random.uniform(second, x.shape, jnp.float32)


def _said(x: jax.Array) -> jax.Array:
    jax.debug.print("rows: {}", x.shape[0])
    return x + 1.0


@jax.custom_vjp
def _clipped(x: jax.Array) -> jax.Array:
    return x * 2.0


_clipped.defvjp(lambda x: (_clipped(x), None), lambda _, g: (jnp.clip(g, -1, 1),))

WINDOWS = (
    Entry("max pool", "Windows", _max_pool, IMAGE),
    Entry("min pool", "Windows", lambda x: lax.reduce_window(x, jnp.inf, lax.min, *WINDOW), IMAGE),
    Entry("average pool", "Windows", lambda x: lax.reduce_window(x, 0.0, lax.add, *WINDOW) / 4, IMAGE, absolute=1e-4),
    Entry("product pool", "Windows", lambda x: lax.reduce_window(x, 1.0, lax.mul, *WINDOW), IMAGE, absolute=1e-3),
    Entry("gradient of max pool", "Windows", jax.grad(lambda x: jnp.sum(_max_pool(x) ** 2)), IMAGE, absolute=1e-3),
    Entry("tangent of max pool", "Windows", lambda x: jax.jvp(_max_pool, (x,), (x,))[1], IMAGE, absolute=1e-4),
)
FURTHER = (
    flow("custom_vjp", jax.grad(lambda x: jnp.sum(_clipped(x)))),
    flow("jax.random of a public key", _drawn, limited="public"),
    flow("device_put", lambda x: jax.device_put(x) + 1.0),
    flow("checkpoint_name", lambda x: checkpoint_name(x, "kept") * 2.0),
    flow("reduce_precision", lambda x: lax.reduce_precision(x, 8, 23)),
    flow("reduce", lambda x: lax.reduce(x, 0.0, lambda a, b: a + b, (0,))),
    flow("less or equal", lambda x: x <= 0.5),
    flow("complex", lambda x: jnp.imag(jnp.conj(lax.complex(x, 2 * x))) + jnp.real(lax.complex(x, x))),
    flow("jax.debug.print of a public value", _said, limited="public values"),
    flow("isnan, isinf, isfinite", lambda x: jnp.where(jnp.isnan(x) | jnp.isinf(x), 0.0, x) * jnp.isfinite(x)),
    flow("float16", lambda x: x.astype(jnp.float16).astype(jnp.float32), absolute=2e-3),
    flow("bfloat16", lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), absolute=2e-2),
    whole("reduce_xor", lambda x: lax.reduce_xor(x, axes=(0,))),
    indexed("x.at[i].min, secret", lambda x, i: x.at[i].min(0.25), SECRET_INDEX[0]),
    indexed("x.at[i].multiply, secret", lambda x, i: x.at[i].multiply(0.5), SECRET_INDEX[0], absolute=1e-4),
    Entry("i1e", "Real functions", special.i1e, normal((9,), scale=3.0), "|x| <= 2^10", 1e-3),
)
