"""Real functions of one and two secrets, with the domains and errors that docs/operations.md states."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy import special

from tests.operations.entry import Entry, both_signs, normal, one, scales, span, two

GROUP = "Real functions"
POSITIVE = scales(2**-10, 2**20)
DIVISORS = both_signs(scales(2**-8, 2**16))
WIDE = np.concatenate([span(-12, 12), both_signs(scales(12, 2**25, 9))])
MODERATE = span(-8, 8, 65, around=0.0)
UNIT = span(-1, 1, 65, around=0.0)
ROOM, NEAR = 2**-16, 1e-4


def real(
    name: str, function: Any, x: np.ndarray, domain: str, absolute: float = NEAR, relative: float = 0.0, **more: Any
) -> Entry:
    return Entry(name, GROUP, function, one(x), domain, absolute, relative, **more)


ENTRIES = (
    real("exp", jnp.exp, span(-20, 9, 120), "[-20, 9]; 0 below, saturates above", ROOM, NEAR, spu="7.1 on [-5, 5]"),
    real("exp2", jnp.exp2, span(-25, 13, 120), "[-25, 13]; 0 below, saturates above", ROOM, NEAR),
    real("expm1", jnp.expm1, span(-20, 9, 120), "[-20, 9]; -1 below, saturates above", NEAR, NEAR),
    real("log", jnp.log, POSITIVE, "[2^-10, 2^20]; for x <= 0 that of 2^-18", spu="3.4e-4"),
    real("log2", jnp.log2, POSITIVE, "[2^-10, 2^20]; as log"),
    real("log10", jnp.log10, POSITIVE, "[2^-10, 2^20]; as log"),
    real("log1p", jnp.log1p, np.concatenate([span(-0.99, 0.99), POSITIVE]), "[-1 + 2^-10, 2^20]; as log"),
    real("reciprocal", jnp.reciprocal, DIVISORS, "2^-8 <= |x| <= 2^16; 2^19 for 0", ROOM, NEAR, spu="3.6e-4"),
    Entry(
        "divide",
        GROUP,
        jnp.divide,
        two(span(-100, 100), DIVISORS),
        "2^-8 <= |y| <= 2^16; x / 0 is x 2^11 or more",
        ROOM,
        NEAR,
        spu="3.6e-4",
    ),
    real("sqrt", jnp.sqrt, POSITIVE, "[2^-10, 2^20]; 0 for x <= 0", ROOM, NEAR, spu="4.2e-4"),
    real("rsqrt", lax.rsqrt, POSITIVE, "[2^-10, 2^20]; 2^9.5 for x <= 0", ROOM, NEAR, spu="1.8e-3"),
    real("cbrt", jnp.cbrt, both_signs(POSITIVE), "2^-10 <= |x| <= 2^20", NEAR, NEAR),
    Entry(
        "pow",
        GROUP,
        lax.pow,
        two(scales(2**-4, 16), span(-2, 2)),
        "x in [2^-4, 16], |y| <= 2; of x < 0 as of whole y, else 0; of 0: 0, 1 or 2^21; saturates at 2^21",
        1e-3,
        1e-3,
    ),
    Entry(
        "pow (whole)",
        GROUP,
        lax.pow,
        two(both_signs(scales(2**-4, 16)), np.arange(-4, 5, dtype=np.int32)),
        "as pow, of integers |y| <= 4",
        NEAR,
        NEAR,
    ),
    Entry("float_power", GROUP, jnp.float_power, two(scales(2**-4, 16), span(-2, 2)), "as pow", 1e-3, 1e-3),
    real("integer_pow", lambda x: x**5, span(-4, 4), "result in the format", NEAR, NEAR),
    real("square", jnp.square, span(-100, 100), "result in the format", NEAR),
    real("sin", jnp.sin, span(-1024, 1024, 200), "|x| <= 2^10"),
    real("cos", jnp.cos, span(-1024, 1024, 200), "|x| <= 2^10"),
    real("tan", jnp.tan, span(-1.4, 1.4), "at least 0.17 from a pole; at one, bounded", 1e-3, 1e-3),
    real("asin", jnp.arcsin, UNIT, "[-1, 1]; outside as at the nearer end", 1e-3),
    real("acos", jnp.arccos, UNIT, "[-1, 1]; outside as at the nearer end", 1e-3),
    real("atan", jnp.arctan, WIDE, "all values"),
    Entry("atan2", GROUP, jnp.arctan2, two(span(-9, 10, 19), span(-10, 9, 19)), "not both 0, where it is 0", 1e-3),
    real("sinh", jnp.sinh, MODERATE, "[-8, 8]; saturates at 2^21", NEAR, 2e-4),
    real("cosh", jnp.cosh, MODERATE, "[-8, 8]; saturates at 2^21", NEAR, 2e-4),
    real("tanh", jnp.tanh, WIDE, "all values", spu="4.9e-3"),
    real("asinh", jnp.arcsinh, WIDE, "all values", 1e-4),
    real("acosh", jnp.arccosh, span(1, 1000, 65, around=1.0), "x >= 1; log x for x < 1", 1e-2),
    real("atanh", jnp.arctanh, span(-0.99, 0.99), "[-0.99, 0.99]; for |x| >= 1, 6.6 and more with its sign", 1e-3),
    real("logistic", jax.nn.sigmoid, WIDE, "all values", spu="1e-3"),
    real("erf", special.erf, WIDE, "all values"),
    real("erfc", special.erfc, WIDE, "all values"),
    real("erf_inv", special.erfinv, span(-0.99, 0.99), "[-0.99, 0.99]; 3.3 with the sign of x for |x| >= 1", 1e-3),
    real("lgamma", special.gammaln, scales(0.5, 100), "[0.5, 100]; for x <= 0 that of 2^-18", 1e-3, 1e-3),
    real("digamma", special.digamma, scales(0.5, 100), "[0.5, 100]; for x <= 0 that of 2^-18", 1e-3, 1e-3),
    Entry("hypot", GROUP, jnp.hypot, two(span(-30, 30), span(-30, 31)), "|x|, |y| <= 2^10", 1e-3, NEAR),
    real("log_ndtr", special.log_ndtr, span(-100, 12, 99, around=0.0), "x >= -2^13; -2^25 below", NEAR, NEAR),
    real("logit", special.logit, span(0.01, 0.99), "[0.01, 0.99]; -12.5 for x <= 0 and x > 1", 1e-3),
    real("sinc", jnp.sinc, span(-10, 10, 64), "|x| <= 2^8", 1e-3),
    Entry("copysign", GROUP, jnp.copysign, two(span(-9, 9, 19), span(-9, 10, 20)), "all values; no zero is negative"),
    real("signbit", jnp.signbit, WIDE, "all values; no zero is negative", 0.0),
    Entry(
        "ldexp", GROUP, jnp.ldexp, two(span(-9, 9, 19), np.arange(-4, 5, dtype=np.int32)), "result in the format", NEAR
    ),
    real("frexp", lambda x: jnp.frexp(x)[0], both_signs(POSITIVE), "all values; the mantissa is cut", NEAR),
    Entry("nextafter", GROUP, jnp.nextafter, two(span(-9, 9, 19), span(-9, 10, 20)), "all values, by 2^-18", NEAR),
    real("i0", jnp.i0, span(-8, 8), "[-8, 8]; falls beyond 14.5, where e^x saturates", 1e-2, 1e-3),
)

ROWS = normal((6, 10), scale=3.0)
NORMAL = "variance in [2^-8, 2^12], mean up to 256 deviations"


def _layer_norm(x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)


def _batch_norm(x: Any) -> Any:
    return (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5)


def _group_norm(x: Any) -> Any:
    """Three groups of four channels."""
    return _layer_norm(x.reshape(x.shape[0], 3, 4)).reshape(x.shape)


def _rms_norm(x: Any) -> Any:
    return x / jnp.sqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5)


LONG = normal((2, 1000), scale=3.0)

ACTIVATIONS = (
    real("relu", jax.nn.relu, WIDE, "all values", 0.0),
    real("relu6", jax.nn.relu6, WIDE, "all values", 0.0),
    real("leaky_relu", jax.nn.leaky_relu, WIDE, "all values", ROOM, 1e-5),
    real("gelu (tanh)", jax.nn.gelu, WIDE, "all values", 3e-4, spu="6.7e-3"),
    real("gelu (erf)", lambda x: jax.nn.gelu(x, approximate=False), WIDE, "all values", 3e-4, spu="6.7e-3"),
    real("silu", jax.nn.silu, WIDE, "all values", 3e-4),
    real("softplus", jax.nn.softplus, WIDE, "all values", 3e-4),
    real("elu", jax.nn.elu, WIDE, "all values", 3e-4),
    real("selu", jax.nn.selu, WIDE, "all values", 3e-4, 1e-6),
    real("celu", jax.nn.celu, WIDE, "all values", 3e-4),
    real("mish", jax.nn.mish, WIDE, "all values", 3e-4),
    real("hard_tanh", jax.nn.hard_tanh, WIDE, "all values", 0.0),
    real("hard_sigmoid", jax.nn.hard_sigmoid, WIDE, "all values", ROOM),
    real("hard_silu", jax.nn.hard_silu, WIDE, "all values", NEAR, 1e-5),
    real("soft_sign", jax.nn.soft_sign, WIDE, "all values"),
    real("sparse_plus", jax.nn.sparse_plus, WIDE, "all values"),
    real("sparse_sigmoid", jax.nn.sparse_sigmoid, WIDE, "all values"),
    real("squareplus", jax.nn.squareplus, span(-100, 100), "all values; error relative to x beyond", 1e-3),
    Entry("glu", GROUP, jax.nn.glu, ROWS, "all values", 3e-4, NEAR),
    real("log_sigmoid", jax.nn.log_sigmoid, WIDE, "all values", 3e-4),
    Entry("softmax", GROUP, jax.nn.softmax, ROWS, "logits in [-1000, 1000], up to 1000", 3e-4, spu="1.2e-2"),
    Entry("softmax (1000)", GROUP, jax.nn.softmax, LONG, "logits in [-1000, 1000]", 3e-4, spu="1.2e-2"),
    Entry("log_softmax", GROUP, jax.nn.log_softmax, ROWS, "logits in [-1000, 1000]", 1e-3),
    Entry("logsumexp", GROUP, lambda x: special.logsumexp(x, axis=-1), ROWS, "values in [-1000, 1000]", 1e-3),
    Entry("logaddexp", GROUP, jnp.logaddexp, two(span(-30, 30), span(-30, 31)), "all values", 1e-3),
    Entry("standardize", GROUP, jax.nn.standardize, ROWS, NORMAL, 1e-3, 1e-3),
    Entry("layer norm", GROUP, _layer_norm, ROWS, NORMAL, 1e-3, 1e-3, spu="wrong by 1.2 to 500 in a GPT-2 block"),
    Entry("batch norm", GROUP, _batch_norm, normal((16, 6), scale=3.0), NORMAL, 1e-3, 1e-3),
    Entry("group norm", GROUP, _group_norm, normal((3, 12), scale=3.0), NORMAL, 1e-3, 1e-3),
    Entry("rms norm", GROUP, _rms_norm, ROWS, "mean square in [2^-8, 2^12]", 1e-3, 1e-3),
)

ROUNDING = (
    real("floor", jnp.floor, span(-50, 50, 101), "all values", 0.0),
    real("ceil", jnp.ceil, span(-50, 50, 101), "all values", 0.0),
    real("round", jnp.round, span(-50, 50, 201), "all values", 0.0),
    real("rint", jnp.rint, span(-50, 50, 201), "all values", 0.0),
    real("trunc", jnp.trunc, span(-50, 50, 101), "all values", 0.0),
    Entry(
        "mod",
        GROUP,
        jnp.mod,
        two(span(-50, 50), both_signs(span(1, 9, 9))),
        "|x / y| <= 2^10; beyond 2^18 not in [0, y)",
        1e-3,
    ),
    Entry("remainder", GROUP, jnp.remainder, two(span(-50, 50), both_signs(span(1, 9, 9))), "as mod", 1e-3),
    Entry("fmod", GROUP, jnp.fmod, two(span(-50, 50), both_signs(span(1, 9, 9))), "as mod", 1e-3),
    Entry("floor_divide", GROUP, jnp.floor_divide, two(span(-50, 50), both_signs(span(1.25, 9.25, 9))), "as mod", 0.0),
    Entry("divmod", GROUP, jnp.divmod, two(span(-50, 50), both_signs(span(1.25, 9.25, 9))), "as mod", 1e-3),
)
