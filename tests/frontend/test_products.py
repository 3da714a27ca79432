"""Matrix products and convolutions with every kind of dimension numbers mean what plain JAX means."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from tests.frontend.data import RNG, B, I, X, Y
from tests.frontend.oracle import check

LEFT, RIGHT = (RNG.normal(size=(2, 3, 2)).astype(np.float32) for _ in range(2))
DOTS = [
    (((1,), (1,)), ((0,), (0,))),
    (((0, 2), (2, 0)), ((), ())),
    (((), ()), ((), ())),
    (((2,), (0,)), ((0,), (2,))),
    (((0, 1, 2), (0, 1, 2)), ((), ())),
    (((), ()), ((0, 1, 2), (0, 1, 2))),
]
CONVS: list[tuple[Any, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    (("NHWC", "HWIO", "NHWC"), (2, 5, 6, 2), (3, 2, 2, 3), {"window_strides": (1, 2), "padding": "SAME"}),
    (
        ("NCHW", "OIHW", "NCHW"),
        (2, 2, 5, 6),
        (3, 2, 3, 2),
        {"window_strides": (2, 1), "padding": [(1, 2), (0, 1)], "rhs_dilation": (1, 2)},
    ),
    (
        ("NCHW", "OIHW", "NHWC"),
        (2, 2, 5, 6),
        (3, 2, 3, 2),
        {"window_strides": (1, 1), "padding": [(-1, 2), (0, 1)], "lhs_dilation": (2, 1)},
    ),
    (
        ("NCHW", "OIHW", "NCHW"),
        (2, 4, 5, 6),
        (4, 2, 3, 2),
        {"window_strides": (1, 1), "padding": "VALID", "feature_group_count": 2},
    ),
    (
        ("NCHW", "OIHW", "NCHW"),
        (4, 2, 5, 6),
        (4, 2, 3, 2),
        {"window_strides": (1, 1), "padding": "VALID", "batch_group_count": 2},
    ),
    (("NWC", "WIO", "NWC"), (2, 7, 3), (3, 3, 2), {"window_strides": (2,), "padding": "SAME"}),
    (("NDHWC", "DHWIO", "NDHWC"), (1, 3, 3, 3, 2), (2, 2, 2, 2, 1), {"window_strides": (1, 1, 1), "padding": "SAME"}),
]


@pytest.mark.parametrize("dims", DOTS)
def test_dot_general(dims: Any) -> None:
    """Two secrets, and a secret with a public one on either side."""
    constant = jnp.asarray(RIGHT)
    check(
        lambda a, b: (
            lax.dot_general(a, b, dims),
            lax.dot_general(a, constant, dims),
            lax.dot_general(constant, a, dims),
        ),
        LEFT,
        RIGHT,
    ) if dims[0][0] != (2,) else check(lambda a, b: lax.dot_general(a, b, dims), LEFT, RIGHT)


def test_products_of_bools() -> None:
    """Whether any pair of true ones meets: two steps in a graph, and how many ways there are."""
    graph = np.array([[1, 0, 1, 0], [0, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]], bool)
    check(lambda a: (a @ a, a @ a[0], a[1] @ a[2], jnp.outer(a[0], a[1]), jnp.einsum("ij,jk->", a, a)), graph)
    check(lambda a, b: (a @ b, b @ a), graph, graph[::-1].copy(), public=["b"])
    check(lambda a: [lax.dot(a, a, preferred_element_type=t) for t in (jnp.int32, jnp.uint8, jnp.float32)], graph)
    check(lambda a: lax.conv(a[None, None], a[None, None, :2, :2], (1, 1), "SAME"), graph)


def test_products_by_name() -> None:
    check(lambda x, y: (x @ y[0], y[0] @ x.T, jnp.outer(x[0], y[0]), jnp.dot(x[0], y[0]), jnp.vdot(x, y)), X, Y)
    check(
        lambda x, y: (jnp.einsum("ij,kj->ik", x, y), jnp.einsum("ij,ij->", x, y), jnp.tensordot(x, y, [[0], [0]])), X, Y
    )
    check(lambda x, i: (i @ i.T, x @ i.T, jnp.kron(x[:2, :2], x[:1, :2])), X, I)
    check(lambda b: (b.sum(), b.mean(), b.astype(jnp.float32) @ jnp.ones((4, 2))), B)
    check(lambda x: (x[:, :0] @ x[:0], x[:0] @ x.T), X)


@pytest.mark.parametrize(("numbers", "image", "kernel", "options"), CONVS)
def test_convolution(numbers: Any, image: tuple[int, ...], kernel: tuple[int, ...], options: dict[str, Any]) -> None:
    def both(x: Any, k: Any, p: Any) -> Any:
        run = lambda a, b: lax.conv_general_dilated(a, b, dimension_numbers=numbers, **options)  # noqa: E731
        return run(x, k), run(x, p)

    x, k = (RNG.normal(size=s).astype(np.float32) for s in (image, kernel))
    check(both, x, k, k[::-1].copy(), public=["p"])


def test_transposed_convolution() -> None:
    x, k = (RNG.normal(size=s).astype(np.float32) for s in ((1, 3, 3, 2), (2, 2, 2, 1)))
    check(lambda a, b: lax.conv_transpose(a, b, (2, 2), "SAME"), x, k)
