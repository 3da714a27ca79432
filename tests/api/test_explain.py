"""What a program says of itself: what is computed in the clear, where and by whom, and that nothing is secret."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import JMPCWarning, NothingSecretWarning

pytestmark = pytest.mark.usefixtures("simulated")  # nothing here is about compiled code

W = np.array([[0.5, -1.0], [2.0, 0.25], [1.0, 1.0]], np.float32)
ALICE: dict[str, Any] = {"inputs": {"x": "alice"}, "outputs": "alice"}
TABLE = jmpc.public(np.arange(70, dtype=np.float32))


def _mixed(params: Any, x: Any, act: Any, s: Any) -> Any:
    table = jnp.array([1.0, 2.0])
    scores = act(jnp.sin(x / 255) @ jnp.exp(params["w"]))
    return scores * table * jnp.cos(s), jnp.sort(x)


def test_it_says_what_is_computed_where_and_by_whom(x: np.ndarray) -> None:
    options: dict[str, Any] = {"inputs": {"params": {"w": "bank"}, "x": "client"}, "public": "s"}
    lowered = jmpc.secure(_mixed, outputs=({"bank", "client"}, "client"), **options).lower(
        {"w": W}, x, jax.nn.relu, 0.5
    )
    found = lowered.explain()
    assert [(a.path, a.spec, a.owner) for a in found.arguments] == [
        ("params['w']", "float32[3, 2]", "bank"),
        ("s", "float32[]", ""),
        ("x", "float32[2, 3]", "client"),
    ]
    done = {owner: [line.rsplit(": ")[-1] for line in lines] for owner, lines in found.clear.items()}
    assert (done["bank"], done["client"], "cos" in done[""]) == (["exp"], ["div", "sin", "sort"], True)
    assert set(done) == {"", "bank", "client"}
    assert all(f"{__file__}:" in line and "(_mixed)" in line for lines in found.clear.values() for line in lines)
    assert [(r.path, r.receivers, r.clear) for r in found.results] == [
        ("[0]", ("bank", "client"), False),
        ("[1]", ("client",), True),
    ]
    assert found.static == ("act: relu",)
    assert [(t.shape, t.name) for t in found.tables] == [((2,), "")]
    assert found.shared
    assert lowered.cost().clear == found.clear


def test_both_print_it(x: np.ndarray) -> None:
    lowered = jmpc.secure(lambda w, x: jnp.exp(x) @ w * TABLE[0], inputs={"x": "client"}).lower(W, x)
    text, cost = str(lowered.explain()), str(lowered.cost())
    for line in ("computed in the clear by client", "x: float32[2, 3], a secret of client", "`TABLE`", "the caller"):
        assert line in text
    assert "computed in the clear by client, at no cost:" in cost
    assert f"{__file__}:" in cost.split("in the clear")[1]
    nothing = jmpc.secure(lambda x, y: x * y).lower(x, x)
    assert "in the clear" not in str(nothing.cost())


def test_what_is_kept_and_what_is_shared_already(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    text = str(jmpc.secure(lambda h: h * 2, outputs=jmpc.SECRET).lower(handle).explain())
    assert "h: float32[2, 3], shared already" in text
    assert "result: float32[2, 3], stays shared" in text


def test_a_function_of_a_library_has_the_line_of_the_call(x: np.ndarray) -> None:
    """`jmpc.secure(jnp.std)` has no line of the user's but that one."""
    lowered = jmpc.secure(jnp.std).lower(x)
    report = lowered.cost()
    assert [line.split(" ")[0].rsplit(":", 1)[0] for line in report.by_line] == [__file__]
    assert "api.py" not in str(report) + lowered.as_text()
    with pytest.raises(jmpc.errors.CheckError) as caught:
        jmpc.secure(jnp.prod, config=jmpc.Config(check=True))(x * 3000 + 1)
    assert __file__ in caught.value.where
    with pytest.raises(jmpc.errors.UnsupportedError) as refused:
        jmpc.secure(jax.scipy.special.zeta)(x, x)
    assert __file__ in refused.value.where


NOTHING: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "one owner's": (lambda x: jnp.sort(x * 2), ALICE),
    "public": (lambda x: x * 2, {"public": "x"}),
    "an argument given back": (lambda x: x, {}),
    "constants": (lambda x: jnp.arange(3), {}),
    "public, kept": (lambda x: x * 2, {"public": "x", "outputs": jmpc.SECRET}),
}
SOMETHING: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "the caller's": (lambda x: x * 2, {}),
    "given to another": (lambda x: jnp.sort(x), {"inputs": {"x": "alice"}, "outputs": "bob", "owners": ["bob"]}),
    "kept": (lambda x: x, {**ALICE, "outputs": jmpc.SECRET}),
    "drawn": (lambda x: jmpc.random.uniform((3,)), {"public": "x"}),
    "one of two results": (lambda x: (x, x + 1), {"inputs": {"x": "alice"}, "outputs": ("alice", "caller")}),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_call_with_nothing_secret_in_it_warns(name: str, x: np.ndarray) -> None:
    function, options = NOTHING[name]
    secured = jmpc.secure(function, **options)
    with pytest.warns(NothingSecretWarning, match="nothing in this call is secret-shared") as caught:
        secured(x)
    assert caught[0].filename == __file__
    assert issubclass(NothingSecretWarning, JMPCWarning)
    assert not secured.lower(x).explain().shared
    assert str(secured.lower(x).explain()).startswith("<lambda>: nothing is secret-shared")
    with pytest.warns(NothingSecretWarning):  # the next call as well, and one that was compiled by stages
        secured.lower(x).compile()(x)


@pytest.mark.parametrize("name", SOMETHING)
def test_any_other_call_does_not(name: str, x: np.ndarray) -> None:
    function, options = SOMETHING[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        secured = jmpc.secure(function, **options)
        secured(x)
    assert secured.lower(x).explain().shared


def test_a_handle_is_secret(x: np.ndarray) -> None:
    handle = jmpc.secure(lambda x: x + 1, outputs=jmpc.SECRET)(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jmpc.secure(lambda h: h)(handle)
