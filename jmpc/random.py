"""Randomness that no party knows, for use inside secure functions.

    noisy = x + 0.1 * jmpc.random.normal(x.shape)        # the parties add noise that none of them can subtract

Who knows what: a draw is the sum of three parts, each from a key that two of the three parties share. A party knows two
parts and nothing of the sum; two parties together know it, as they know every other secret. The order of a
`permutation` is three orders in turn, each known to two parties, so that none knows the whole.

Nobody chooses a key or a seed: each call of the function, each line, and each iteration of a loop draws anew, and so
does each example under `jax.vmap` (a draw outside of what is mapped serves the whole batch). Draws are constants to
`jax.grad`; `jax.checkpoint` keeps them for the backward pass. Where JAX would draw once for several, or again for one,
the function is refused: one checkpoint inside another, jacfwd and hessian. Then draw outside, and pass it in.

`jax.random` with a public key is public: everybody knows what it draws. Outside a secure function these raise.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jmpc import _jax, _typed
from jmpc._types import Array
from jmpc.errors import ArgumentError
from jmpc.numerics.language import draws

__all__ = [
    "bernoulli",
    "binomial",
    "bits",
    "categorical",
    "discrete_gaussian",
    "exponential",
    "gumbel",
    "laplace",
    "normal",
    "permutation",
    "uniform",
]
Shape = tuple[int, ...]
PROBABILITY_BITS = 32
GAUSSIAN_BITS = 48
MOST_SCALE = 32.0
NORMAL_BITS = 256
MOST_TRIALS = 4096


def bits(shape: Shape = (), dtype: Any = np.uint32) -> Array:
    """Uniform integers over all of an integer dtype. Exact; no message."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        raise _wrong("bits", f"dtype={dtype} is not an integer dtype", "ask for uint8 to uint64, or int8 to int64")
    return draws.words(_shape("bits", shape), dtype)


def uniform(shape: Shape = (), minval: ArrayLike = 0.0, maxval: ArrayLike = 1.0) -> Array:
    """Uniform on [minval, maxval), which may be secret: minval + u (maxval - minval), u a uniform multiple of 2^-f.

    Its distribution is within 2^-f (maxval - minval) of the uniform one, in the distance of quantiles."""
    u = draws.fraction(_shape("uniform", shape))
    if isinstance(minval, float | int) and isinstance(maxval, float | int) and (minval, maxval) == (0, 1):
        return u
    return jnp.add(minval, u * (_typed.asarray(maxval, u.dtype) - minval))


def bernoulli(p: ArrayLike = 0.5, shape: Shape | None = None) -> Array:
    """Bools that are true with probability p, which may be secret.

    Where p is one public number of the program, the probability is right to 2^-32, otherwise to 2^-f."""
    shape = np.shape(p) if shape is None else _shape("bernoulli", shape)
    if _jax.is_traced(p) or np.size(p) != 1:
        return draws.fraction(shape) < jnp.broadcast_to(_typed.asarray(p, jnp.float32), shape)
    bound, width = _reduced(_probability("bernoulli", p))
    return draws.chance(shape, bound, width)


def binomial(n: int, p: float = 0.5, shape: Shape = ()) -> Array:
    """The number of n trials (1 to 4096) that succeed with public probability p: int32.

    Each trial is right to 2^-32, so that the total variation distance is at most n 2^-32; of p = 1/2 it is 0."""
    if not _is_count(n, MOST_TRIALS):
        raise _wrong("binomial", f"n={n!r} is not a number of trials from 1 to {MOST_TRIALS}", "give a Python int")
    bound, width = _reduced(_probability("binomial", 1 - np.asarray(p)))
    return draws.count(_shape("binomial", shape), (bound,), n, width)


def normal(shape: Shape = ()) -> Array:
    """Approximately standard normal: the centred sum of 256 fair bits and a uniform dither of one step, scaled.

    Mean 0, variance 1 and skewness 0 as the normal distribution's; excess kurtosis -2/256. The distribution function is
    within 5e-4 of the normal one everywhere; nothing lies beyond 16.1. For noise whose tails must be exact, use
    `discrete_gaussian`."""
    shape = _shape("normal", shape)
    total = draws.count(shape, (1,), NORMAL_BITS, 1).astype(jnp.float32)
    return (total + draws.fraction(shape) - (NORMAL_BITS / 2 + 0.5)) * (1 / math.sqrt(NORMAL_BITS / 4 + 1 / 12))


def discrete_gaussian(scale: float, shape: Shape = ()) -> Array:
    """Integers x with probability proportional to exp(-x^2 / (2 scale^2)), for public 0 < scale <= 32: int32.

    By its table: one uniform number of 48 bits is compared with every threshold, about 18 scale of them, so that the
    total variation distance is below 2^-36."""
    if not 0 < scale <= MOST_SCALE:
        raise _wrong("discrete_gaussian", f"scale={scale!r} is not in (0, {MOST_SCALE:g}]", "scale the result instead")
    table = thresholds(float(scale))
    return draws.count(_shape("discrete_gaussian", shape), table, 1, GAUSSIAN_BITS) - len(table) // 2


def exponential(shape: Shape = ()) -> Array:
    """Standard exponential, rounded down to a multiple of 2^-f, with total variation distance below 2^-28.

    By its binary digits, which are independent: each is a public chance that is right to 2^-32. Nothing reaches 32."""
    return draws.exponential(_shape("exponential", shape))


def laplace(shape: Shape = ()) -> Array:
    """Standard Laplace, mean 0 and variance 2: the difference of two exponentials.

    On multiples of 2^-f it is the discrete Laplace distribution, proportional to exp(-|x|): its total variation
    distance to that is below 2^-27, its quantiles are within 2^-f of the continuous one's. Nothing reaches 32."""
    shape = _shape("laplace", shape)
    return draws.exponential(shape) - draws.exponential(shape)


def gumbel(shape: Shape = ()) -> Array:
    """Standard Gumbel: minus the logarithm of an exponential with 14 more fraction bits.

    Its quantiles are within 2e-5, but for a probability of 2^-28; nothing lies beyond -3.5 and 22.9 (f = 18)."""
    return draws.gumbel(_shape("gumbel", shape))


def categorical(logits: ArrayLike, axis: int = -1, shape: Shape | None = None) -> Array:
    """Categories with probabilities proportional to exp(logits), which may be secret: int32. As in jax.random: `shape`
    ends with the shape of the logits without `axis`.

    Where the largest sum of a logit and a `gumbel` stands: ratios of probabilities are right to 4e-5; what is less
    likely than the likeliest by e^-20 is never drawn."""
    logits = _typed.asarray(logits)
    axis = axis % logits.ndim if logits.ndim and -logits.ndim <= axis < logits.ndim else -1
    if axis < 0 or not jnp.issubdtype(logits.dtype, np.floating):
        raise _wrong("categorical", f"logits are {logits.dtype}{list(logits.shape)}", "give real numbers along `axis`")
    batch = (*logits.shape[:axis], *logits.shape[axis + 1 :])
    shape = batch if shape is None else _shape("categorical", shape)
    lead = shape[: len(shape) - len(batch)]
    if shape != (*lead, *batch):
        raise _wrong("categorical", f"shape={shape} does not end with {batch}", "end it with that of the other axes")
    noise = draws.gumbel((*lead, *logits.shape))
    return jnp.argmax(noise + logits, axis=len(lead) + axis).astype(np.int32)


def permutation(x: Any, axis: int = 0, independent: bool = False) -> Any:
    """`x` in a uniform order along `axis` that nobody knows: an array, a pytree of arrays that all go into one order,
    or for an integer n the numbers below n. As in jax.random; with `independent`, each vector along `axis` goes into an
    order of its own. Exact but for a probability below n^5 2^-128. It has no gradient."""
    if _is_integer(x):
        return draws.shuffle([_typed.arange(x)], 0)[0]
    leaves, tree = _typed.flatten(jax.tree.map(_typed.asarray, x))
    if not leaves or any(not -v.ndim <= axis < v.ndim for v in leaves):
        raise _wrong("permutation", f"an array has no axis {axis}", "give arrays with that axis, or an integer")
    if len({v.shape[axis] for v in leaves} if not independent else {v.shape for v in leaves}) > 1:
        raise _wrong("permutation", "the arrays do not have the same size", "give arrays of one size along the axis")
    lead = leaves[0].ndim - 1 if independent else 0
    made = draws.shuffle([jnp.moveaxis(v, axis, lead) for v in leaves], lead)
    return _typed.unflatten(tree, [jnp.moveaxis(v, lead, axis) for v in made])


def thresholds(scale: float) -> list[int]:
    """2^48 P[X < j] for j = 1 - m .. m, of the distribution cut where less than 2^-50 is left."""
    m = math.ceil(scale * math.sqrt(2 * 52 * math.log(2))) + 1
    weights = [math.exp(-(x * x) / (2 * scale * scale)) for x in range(-m, m + 1)]
    whole = math.fsum(weights)
    return [round(math.fsum(weights[:j]) / whole * 2**GAUSSIAN_BITS) for j in range(1, 2 * m + 1)]


def _reduced(bound: int) -> tuple[int, int]:
    """A threshold of 32 bits in as few as say the same."""
    width = PROBABILITY_BITS
    while width > 1 and bound % 2 == 0:
        bound, width = bound // 2, width - 1
    return bound, width


def _probability(name: str, p: ArrayLike) -> int:
    number = float(np.asarray(p, np.float64).reshape(()))
    if not 0 <= number <= 1:
        raise _wrong(name, "a probability is not in [0, 1]", "give a number from 0 to 1")
    return round(number * 2**PROBABILITY_BITS)


def _is_integer(x: Any) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def _is_count(n: object, most: int) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= most


def _shape(name: str, shape: Any) -> Shape:
    found = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in found):
        raise _wrong(name, f"shape={shape!r} is not a shape", "give a tuple of sizes")
    return tuple(int(n) for n in found)


def _wrong(name: str, what: str, todo: str) -> ArgumentError:
    return ArgumentError(f"jmpc.random.{name}: {what}", where=f"jmpc.random.{name}", todo=todo)
