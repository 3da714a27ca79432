"""What an accelerator runs instead: products by int8 limbs, masks by ChaCha20 inside. The same bits, and no host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pytest

import jmpc
from jmpc import _jax, backends
from jmpc.compiler import Flow
from jmpc.executors.local import run_local
from jmpc.executors.masks import COUNTER_WORDS, InsideStream, Stream
from jmpc.executors.run import Counts
from jmpc.executors.segment import compile_plans, groups, together
from jmpc.party import build
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
        self.held, counts = run_local(flow.plans, inputs, KEYS, flow.config.prf)
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


def _plans(flow: Flow, form: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    monkeypatch.setattr(build, "product_form", lambda: form)
    return build.plan_all(flow.share)[1]


@pytest.mark.parametrize("form", ["int8", "native"])
def test_every_form_of_product_gives_the_same_bits(
    recorded: Recorder, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = _plans(recorded.flow, form, monkeypatch)
    usual = [s.key for group in groups(recorded.flow.plans) for s in group if s]
    assert usual != [s.key for group in groups(plans) for s in group if s]
    compile_plans(plans)
    held, _ = run_local(plans, recorded.inputs, KEYS, recorded.flow.config.prf)
    assert _same(held, recorded.held)


@pytest.mark.parametrize("prf", ["aes", "chacha20"])
def test_masks_drawn_inside_the_segments_are_those_of_chacha_on_the_host(prf: str) -> None:
    function, args, config = PROGRAMS["product, chacha20"]
    recorded = _record(function, args, config.replace(prf=prf))
    compile_plans(recorded.flow.plans, inside=True)
    held, _ = run_local(recorded.flow.plans, recorded.inputs, KEYS, "chacha20", inside=True)
    assert _same(held, recorded.held) == (prf == "chacha20")


def test_a_program_for_an_accelerator_lowers_without_the_host(
    recorded: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = _plans(recorded.flow, "int8", monkeypatch)
    for group in groups(plans):
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
