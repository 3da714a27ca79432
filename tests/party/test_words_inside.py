"""What parties draw, send and check stands in the protocol itself, not in a function that JAX traces by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from jax import lax

from jmpc import _jax
from jmpc.errors import UnsupportedError
from jmpc.party.exchange import Party
from jmpc.party.link import Linked, Variable, template
from jmpc.ring.element import Ring

U64 = np.dtype(np.uint64)
SAID: dict[str, Callable[[Party, Any], Any]] = {
    "mask": lambda me, x: me.mask(1, (3,)),
    "exchange": lambda me, x: me.exchange({1: x}, {1: ((3,), U64)})[1],
    "verify": lambda me, x: me.verify(x),
}
INSIDE: dict[str, Callable[[Callable[[Any], Any], Any], Any]] = {
    "jit": lambda say, x: jax.jit(say)(x),
    "jit in jit": lambda say, x: jax.jit(lambda y: jax.jit(say)(y) + y)(x),
    "cond": lambda say, x: lax.cond(x[0] > 0, say, lambda y: y, x),
    "scan": lambda say, x: lax.fori_loop(0, 2, lambda i, y: say(y), x),
    "unread": lambda say, x: (jax.jit(say)(x), x)[1],  # a check that nobody would make
}


def traced(protocol: Callable[[Party, Any], Any]) -> Any:
    with _jax.x64():
        return template(None, lambda x: [protocol(Party(0, Ring(64)), x)], [Variable(_jax.aval((3,), U64))])


@pytest.mark.parametrize("word", SAID)
def test_a_word_in_the_protocol_itself_is_an_equation(word: str) -> None:
    names = [e.primitive.name for e in traced(SAID[word])[0].eqns]
    assert {"verify": "verdict"}.get(word, word) in names


@pytest.mark.parametrize("bits", [np.bool_(False), np.zeros(3, bool), None], ids=["scalar", "constant", "mask"])
def test_what_is_judged_may_be_no_result_of_a_computation(bits: Any) -> None:
    def judged(x: Any) -> list[Any]:
        me = Party(0, Ring(64))
        return [me.verify(me.mask(1, (3,)) if bits is None else bits), x]

    linked = Linked([Variable(_jax.aval((3,), U64))])
    with _jax.x64():
        linked.call(None, judged, linked.invars, 0)
    (verdict,) = linked.verdicts
    assert any(verdict in e.outvars for e in linked.eqns)  # so that executors hold it
    assert verdict not in linked.masks


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("word", SAID)
def test_a_word_inside_a_function_of_jax_is_refused(word: str, inside: str) -> None:
    with pytest.raises(UnsupportedError, match=f"a protocol says `{word}` inside jax's") as found:
        traced(lambda me, x: INSIDE[inside](lambda y: SAID[word](me, y), x))
    assert "test_words_inside.py" in found.value.where
