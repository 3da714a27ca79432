"""Check mode: it checks the program that ships; names the first wrong operation and each passed bound, with file:line;
finds what passes do wrong, and values that pass bounds in loops and branches. Its advice: `test_check_advice.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.backends import LOCAL, LocalBackend
from jmpc.compiler import Flow, with_notes
from jmpc.errors import CheckError, ConfigError
from jmpc.ir.program import Block, Op, Program, Value, walk
from jmpc.ir.text import print_program, program_hash
from jmpc.passes import pipeline, sink_truncations
from jmpc.passes.rewrite import Rewriter, rewrite

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

CHECKED = jmpc.Config(check=True)
X = np.array([[0.5, -1.25, 2.0], [3.5, 0.0, -4.0]], np.float32)


def _right(x: Any, w: Any) -> Any:
    h = jax.jit(lambda x: jax.nn.relu(x @ w) + 1)(x)
    h, sums = lax.scan(lambda c, t: (c * 0.5 + t, c.sum()), h, jnp.arange(3.0))
    return jnp.where(h > 1, h, 0.0), sums, lax.cond(True, jnp.sum, jnp.max, h)


def test_a_correct_program_passes() -> None:
    secured = jmpc.secure(_right, config=CHECKED)
    w = np.full((3, 2), 0.5, np.float32)
    for one, two in zip(jax.tree.leaves(secured(X, w)), jax.tree.leaves(_right(X, w)), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


def test_a_correct_program_passes_with_public_values_and_owners() -> None:
    secured = jmpc.secure(lambda x, p, q: x * jnp.sin(p) + jnp.exp(q), public="p", inputs={"q": "bob"}, config=CHECKED)
    np.testing.assert_allclose(secured(X, 0.5, X / 4), X * np.sin(0.5) + np.exp(X / 4), atol=1e-3)


def test_a_product_that_wraps_is_named() -> None:
    def wraps(x: Any) -> Any:
        y = x + 1
        return y * y * 0.5

    with pytest.raises(CheckError, match="mul: the result differs") as caught:
        jmpc.secure(wraps, config=CHECKED)(X * 10_000)
    assert "wraps)" in caught.value.where
    assert __file__ in caught.value.where
    assert "a value passed its assumed bound" in caught.value.why


def _grows(x: Any) -> Any:
    c, _ = lax.scan(lambda c, _: (c * 40.0, None), x, None, length=6)
    return c + 1


def test_a_value_that_passes_a_bound_inside_a_scan_names_its_line() -> None:
    with pytest.raises(CheckError, match="mul: a value passes its assumed bound") as caught:
        jmpc.secure(_grows, config=CHECKED)(X)
    assert "_grows.<locals>" in caught.value.where
    assert "agree" in caught.value.why


def test_a_wrong_operation_inside_a_scan_names_the_scan() -> None:
    with pytest.raises(CheckError, match="scan: the result differs") as caught:
        jmpc.secure(_grows, config=CHECKED)(X * 40**3)
    assert "_grows)" in caught.value.where
    assert "_grows.<locals>" in caught.value.why


def test_a_false_declaration_is_named() -> None:
    def declares(x: Any) -> Any:
        return jax.nn.relu(jmpc.bounded(x * 3.0, 2.0))

    with pytest.raises(CheckError) as caught:
        jmpc.secure(declares, config=CHECKED)(X)
    assert "declared bound" in caught.value.why
    assert "declares)" in caught.value.why


def test_too_few_fraction_bits_are_named() -> None:
    with pytest.raises(CheckError, match="differs from plaintext"):
        jmpc.secure(lambda x: (x * 0.001) * 1000.0, config=jmpc.Config(f=6, check=True))(X)


def test_a_handle_is_checked_too() -> None:
    kept = jmpc.secure(lambda x: x * 2, outputs=jmpc.SECRET, config=CHECKED)(X)
    np.testing.assert_allclose(jmpc.secure(lambda h: h + 1, config=CHECKED)(kept), X * 2 + 1, atol=1e-3)


def test_the_message_holds_no_value() -> None:
    with pytest.raises(CheckError) as caught:
        jmpc.secure(lambda x: x * x, config=CHECKED)(np.array([31234.5], np.float32))
    assert "31234" not in str(caught.value)


# --- the program that ships

S = np.array([True, False, True])
V = np.array([0.5, -1.25, 2.0], np.float32)
SHIPPED: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "where of products": (lambda s, a, b, d, e: jnp.where(s, a * b, d * e), (S, V, V + 1, V, V)),
    "where of sums": (lambda s, a, b: jnp.where(s, a * b + a * a, b * b - a), (S, V, V + 1)),
    "variance": (jnp.var, (V,)),
    "softmax": (lambda x: jax.nn.softmax(jnp.where(x > 0, x, -1e9)), (V,)),
    "layer norm": (lambda x: (x - x.mean()) / jnp.sqrt(x.var() + 1e-5) * 0.5 + 1, (V,)),
    "scan": (lambda x: lax.scan(lambda c, t: (c * 0.5 + t * t, c.sum()), x, jnp.arange(3.0)), (V,)),
    "scan of products": (lambda x: lax.scan(lambda c, t: (c * 0.5, None), x * x + x * x[::-1], None, 2)[0], (V,)),
    "sum of products": (lambda x, y: (x * x + x * y).sum() - 1, (V, V)),
}
CHANGED_BY_NOTES = ("where of sums", "layer norm", "scan of products", "sum of products")


def _ops(flow: Flow) -> list[str]:
    return sorted(op.name for op in walk(flow.share.body))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_program_is_the_one_that_ships(name: str) -> None:
    function, args = SHIPPED[name]
    lowered = [jmpc.secure(function, config=c).lower(*args) for c in (jmpc.Config(), CHECKED)]
    for stage in lowered[0].flow.stages:
        one, two = (print_program(x.flow.stages[stage], locations=False) for x in lowered)
        assert one == two
    assert program_hash(lowered[0].flow.share) == program_hash(lowered[1].flow.share)


@pytest.mark.parametrize("name", CHANGED_BY_NOTES)
def test_a_program_that_gives_its_values_away_is_another(name: str) -> None:
    """So the test above can fail."""
    function, args = SHIPPED[name]
    flow = jmpc.secure(function).lower(*args).flow
    assert _ops(with_notes(flow)) != _ops(flow)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_runs_once_and_alone_where_it_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, args = SHIPPED[name]
    ran: list[str] = []
    run = LocalBackend.run

    def watched(self: LocalBackend, flow: Flow, fed: Any) -> Any:
        ran.append(program_hash(flow.share))
        return run(self, flow, fed)

    monkeypatch.setattr(LocalBackend, "run", watched)
    found = jmpc.secure(function, config=CHECKED)(*args)
    assert ran == [program_hash(jmpc.secure(function).lower(*args).flow.share)]
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(function(*args)), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-3)


# --- what passes do wrong


def _sums_without_a_limit(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Any:
    """As `sink_truncations` once did: it takes a difference of the compiler's own for one of the user's."""
    cut = [rewriter.source(v, "truncate") if rewriter.only_reader(v) else None for v in inputs]
    if not any(cut):
        return None
    m = max(c.attrs["bits"] for c in cut if c is not None)
    wide = [c.inputs[0] if c else rewriter.emit("scale_up", v, bits=m) for c, v in zip(cut, inputs, strict=True)]
    return [rewriter.emit("truncate", rewriter.emit("add" if op.name == "add" else "sub", *wide), bits=m)]


def _drop_neg(program: Program) -> Program:
    """A pass that forgets a sign where one other op reads it."""

    def change(rewriter: Rewriter, op: Op, inputs: list[Value]) -> Any:
        return [inputs[0]] if op.name == "neg" and rewriter.reads[op.output] == 1 else None

    return rewrite(program, change)


def _negate_result(program: Program) -> Program:
    """A pass that changes the first result, but no value that was noted."""
    body = program.body
    result = body.results[0]
    op = Op("neg", (result,), (Value(result.type),))
    return program.with_body(Block(body.params, (*body.ops, op), (op.output, *body.results[1:])))


LARGE = np.full(96, 2.0**12.99, np.float32)


def _caught(function: Any, *args: Any) -> CheckError:
    with pytest.raises(CheckError) as caught:
        jmpc.secure(function, config=CHECKED)(*args)
    return caught.value


def _together(error: CheckError, name: str) -> None:
    assert "differs from plaintext" in error.what
    assert "no operation does" in error.what
    assert "what the compiler made of them together" in error.why
    assert name in error.why
    assert "report it as a bug" in error.todo[0]
    assert "as_text" in error.todo[0]


def test_a_truncation_moved_too_far_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    products = lambda s, a, b, d, e: jnp.where(s, a * b, d * e)  # noqa: E731
    args = (np.arange(96) % 3 > 0, LARGE, LARGE, LARGE, -LARGE)  # so many that masks hide no fault
    jmpc.secure(products, config=CHECKED)(*args)
    monkeypatch.setattr(sink_truncations, "_sum", _sums_without_a_limit)
    _together(_caught(products, *args), "first after the pass sink_truncations")


def test_a_sign_lost_where_nothing_else_reads_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = lambda x, y: (-x) + y * y  # noqa: E731
    jmpc.secure(lost, config=CHECKED)(V, V)
    monkeypatch.setattr(pipeline, "PASSES", (*pipeline.PASSES, _drop_neg))
    _together(_caught(lost, V, V), "first after the pass _drop_neg")


def test_a_result_that_is_wrong_in_every_program_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PASSES", (_negate_result, *pipeline.PASSES))
    error = _caught(lambda x: (x * x, x * 3), V)
    _together(error, "whichever passes")
    assert "[0]" in error.what


def test_a_wrong_result_that_stays_shared_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PASSES", (*pipeline.PASSES, _drop_neg))
    with pytest.raises(CheckError, match="no operation does"):
        jmpc.secure(lambda x, y: (-x) + y * y, outputs=jmpc.SECRET, config=CHECKED)(V, V)


# --- bounds


def test_a_bound_declared_inside_a_loop_is_checked_in_every_step() -> None:
    def function(x: Any) -> Any:
        return lax.fori_loop(0, 4, lambda i, c: jmpc.bounded(c * 0.5 + 2, 3.8), x)

    jmpc.secure(function, config=CHECKED)(V * 0)
    assert "declared bound" in _caught(function, V + 1).what


@pytest.mark.parametrize("reverse", [False, True])
def test_a_loop_is_followed_in_its_order(reverse: bool) -> None:
    def function(x: Any) -> Any:
        step = lambda c, t: (jmpc.bounded(c * t, 5.0) * 0.25, None)  # noqa: E731
        return lax.scan(step, x, jnp.array([8.0, 1.0]), reverse=reverse)[0]

    if reverse:
        jmpc.secure(function, config=CHECKED)(V[:1] * 4)
    else:
        assert "declared bound" in _caught(function, V[:1] * 4).what


def test_a_bound_declared_in_a_branch_counts_where_it_is_taken() -> None:
    def function(x: Any) -> Any:
        return lax.cond(x[0] > 0, lambda x: jmpc.bounded(x * 2, 2.0), lambda x: x * 2, x)

    jmpc.secure(function, config=CHECKED)(-V)
    assert "declared bound" in _caught(function, V).what


def test_what_no_result_depends_on_passes_no_bound() -> None:
    """A mean is summed otherwise than the sum that JAX divides, and a norm squares smaller numbers."""
    jmpc.secure(jnp.mean, config=CHECKED)(np.full(2**13, 3e4, np.float32))
    jmpc.secure(jnp.linalg.norm, config=CHECKED)(np.array([3e4, 4e4], np.float32))


def test_what_saturates_and_is_not_chosen_passes_no_bound() -> None:
    jmpc.secure(lambda x: jnp.where(x < 9, jnp.exp(x), 0), config=CHECKED)(V * 30)


@pytest.mark.parametrize("mask", [-1e9, -np.inf])
def test_a_mask_beyond_the_format_is_no_fault(mask: float) -> None:
    jmpc.secure(lambda x: jax.nn.softmax(jnp.where(x > 0, x, mask)), config=CHECKED)(V)


# --- what cannot be compared


def test_what_is_drawn_cannot_be_compared() -> None:
    with pytest.raises(ConfigError, match=r"draws with jmpc.random"):
        jmpc.secure(lambda x: x + jmpc.random.uniform(x.shape), config=CHECKED)(V)


def test_only_the_default_simulation_is_checked() -> None:
    class Elsewhere(LocalBackend):
        name = "mesh"

    with jmpc.use(Elsewhere()), pytest.raises(ConfigError, match="in this process only"):
        jmpc.secure(lambda x: x + 1, config=CHECKED)(V)
    with jmpc.use(LOCAL):
        jmpc.secure(lambda x: x + 1, config=CHECKED)(V)


def test_nothing_to_compare_is_no_fault() -> None:
    found = jmpc.secure(lambda x, p: (p * 2, jnp.log(p - 5)), public="p", config=CHECKED)
    with pytest.warns(jmpc.errors.NothingSecretWarning):
        np.testing.assert_array_equal(found(V, V)[0], V * 2)


def test_complex_results_and_keys_are_compared() -> None:
    secured = jmpc.secure(
        lambda x, k: (jnp.fft.fft(x), x + jax.random.normal(k, x.shape), k), public="k", config=CHECKED
    )
    found = secured(V, jax.random.key(1))
    np.testing.assert_allclose(found[0], jnp.fft.fft(V), atol=1e-3)
