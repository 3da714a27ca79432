"""What an accelerator runs instead: products by int8 limbs, masks by ChaCha20 inside. The same bits, and no host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

import jmpc
from jmpc import _jax, backends
from jmpc.compiler import Flow
from jmpc.executors.local import run_local
from jmpc.executors.masks import COUNTER_WORDS, InsideStream, Stream
from jmpc.executors.placement import Placement
from jmpc.executors.run import Counts
from jmpc.executors.segment import Placed, groups, together
from jmpc.party.build import plan_all
from jmpc.ring import chacha
from tests.executors.programs import KEYS, PROGRAMS

Held = list[list[np.ndarray]]


def _conv_and_dense(x: Any, kernel: Any, w: Any, v: Any) -> Any:
    h = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(h.reshape(x.shape[0], -1) @ w) @ v


class Recorder(backends.LocalBackend):
    """The local backend, with fixed keys; keeps the program and what its parties held of inputs and outputs."""

    flow: Flow
    inputs: Sequence[Sequence[Any]]
    held: Held

    def execute(self, flow: Flow, inputs: Sequence[Sequence[Any]]) -> tuple[Held, Counts]:
        self.flow, self.inputs = flow, inputs
        self.held, counts = run_local(flow.placed(self.placement), inputs, KEYS)
        return self.held, counts


def _record(function: Callable[..., Any], args: Sequence[np.ndarray], config: jmpc.Config) -> Recorder:
    recorder = Recorder()
    with backends.use(recorder):
        got = jmpc.secure(function, config=config)(*args)
    np.testing.assert_allclose(got, function(*args), atol=1e-3)
    return recorder


@pytest.fixture(scope="module")
def recorded() -> Recorder:
    rng = np.random.default_rng(0)
    args = [rng.normal(size=s).astype(np.float32) for s in [(2, 5, 5, 1), (3, 3, 1, 2), (18, 4), (4, 3)]]
    return _record(_conv_and_dense, args, jmpc.Config(prf="chacha20"))


def _same(one: Held, other: Held) -> bool:
    return all(np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("form", ["int8", "native"])
def test_every_form_of_product_gives_the_same_bits(recorded: Recorder, form: str) -> None:
    here = Placement.here()
    placed, usual = (recorded.flow.placed(p) for p in (replace(here, products=form), here))
    assert placed.groups.keys() != usual.groups.keys()  # segments without a product are the same code
    held, _ = run_local(placed, recorded.inputs, KEYS)
    assert _same(held, recorded.held)


@pytest.mark.parametrize("form", ["int8", "native"])
def test_the_form_of_products_is_nothing_that_parties_must_agree_on(recorded: Recorder, form: str) -> None:
    """A party on an accelerator and one on a CPU run one program: the schedule, messages and masks are the same."""
    (ours, at_home), (theirs, away) = (plan_all(recorded.flow.share, products) for products in ("integer", form))
    assert ours == theirs
    for one, other in zip(at_home, away, strict=True):
        assert one.mask_words == other.mask_words
        assert [s.exchange.sends.keys() for s in one.steps] == [s.exchange.sends.keys() for s in other.steps]
        assert [[m.spec for m in s.exchange.sent] for s in one.steps] == [
            [m.spec for m in s.exchange.sent] for s in other.steps
        ]


@pytest.mark.parametrize("prf", ["aes", "chacha20"])
def test_masks_drawn_inside_the_segments_are_those_of_chacha_on_the_host(prf: str) -> None:
    function, args, config = PROGRAMS["product, chacha20"]
    recorded = _record(function, args, config.replace(prf=prf))
    inside = Placed(recorded.flow.plans, replace(Placement.here(), inside=True), "chacha20")
    held, _ = run_local(inside, recorded.inputs, KEYS)
    assert _same(held, recorded.held) == (prf == "chacha20")


def test_a_program_for_an_accelerator_lowers_without_the_host(recorded: Recorder) -> None:
    for group in groups(plan_all(recorded.flow.share, "int8")[1]):
        with _jax.x64():
            run, arguments = together([s for s in group if s is not None], inside=True)
            text = jax.jit(run).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()
        assert "stablehlo" in text
        assert "callback" not in text
        assert "custom_call" not in text


@pytest.mark.parametrize("start", [0, 13, 8 * 2**32 - 11])  # the last one across the 32 bits that a host counts to
def test_words_from_any_place_are_the_same_on_the_host_and_inside(start: int) -> None:
    key, place = InsideStream(bytes(16)).arguments(start, 40)
    with _jax.x64():
        inside = np.asarray(chacha.words(key, place, 40))
    assert np.array_equal(inside, Stream(bytes(16), 2 * COUNTER_WORDS, "chacha20").words(start, 40))
