"""The stages of a secure function mirror jax.jit: trace, lower, compile; texts, costs, shapes in place of arrays."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmpc
from jmpc.errors import ArgumentError, ConfigError
from jmpc.ir.text import parse_program, print_program
from jmpc.passes.pipeline import PASSES


def _model(p: Any, x: Any) -> Any:
    h = jax.nn.relu(x @ p["w"] + p["b"])
    h, _ = lax.scan(lambda c, t: (c * 0.5 + t, c.sum()), h, jnp.arange(2.0))
    return jnp.argmax(h, -1), h > 1


P = {"w": np.eye(3, dtype=np.float32), "b": np.ones(3, np.float32)}
X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="module")
def lowered() -> Any:
    spec = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (P, X))
    return jmpc.secure(_model, inputs={"p": "model-owner", "x": "client"}, outputs="client").lower(*spec)


def test_shapes_are_enough_to_lower(lowered: Any) -> None:
    index, above = lowered.compile()(P, X)
    expected = _model(jax.tree.map(jnp.asarray, P), X)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_array_equal(above, expected[1])


def test_every_stage_has_a_text(lowered: Any) -> None:
    assert "lambda" in lowered.as_text("jaxpr")
    for stage in ("value", *(step.__name__ for step in PASSES), "share"):
        text = lowered.as_text(stage)
        assert text.startswith("program _model")
        assert "test_stages.py:" in text
    assert lowered.as_text() == lowered.as_text("share")
    with pytest.raises(ArgumentError, match="no stage 'nope'"):
        lowered.as_text("nope")


def test_each_stage_shows_itself_in_one_line_and_no_value(lowered: Any) -> None:
    secured = jmpc.secure(_model)
    traced = secured.trace(P, X)
    shown = [repr(stage) for stage in (secured, traced, lowered, lowered.compile())]
    assert all("_model" in text and len(text) < 100 for text in shown)


def test_texts_parse_back(lowered: Any) -> None:
    for stage in ("value", PASSES[-1].__name__, "share"):
        text = lowered.as_text(stage)
        assert print_program(parse_program(text)) == text


def test_owners_and_receivers_are_in_the_text(lowered: Any) -> None:
    text = lowered.as_text()
    assert '"model-owner"' in text
    assert 'to "client"' in text
    assert "p['w']" in text


def test_costs_by_op_and_by_line(lowered: Any) -> None:
    reports = {network: lowered.cost(network) for network in ("local", "lan", "wan")}
    assert len({(r.rounds, r.bytes_sent) for r in reports.values()}) == 1
    assert reports["local"].seconds < reports["lan"].seconds < reports["wan"].seconds
    report = reports["lan"]
    assert sum(report.by_op.values()) == sum(report.by_line.values()) == sum(report.bytes_sent)
    assert any("test_stages.py" in line for line in report.by_line)
    assert "rounds" in str(report)
    assert "by line" in str(report)
    with pytest.raises(ConfigError, match="no network profile"):
        lowered.cost("nope")


def test_a_loop_costs_its_trips() -> None:
    def rounds(trips: int) -> int:
        looped = jmpc.secure(lambda x: lax.fori_loop(0, trips, lambda k, c: c * c, x))
        return looped.lower(X).cost().rounds

    assert rounds(4) - rounds(3) == rounds(3) - rounds(2) > 0


def test_the_configuration_is_part_of_the_text() -> None:
    text = jmpc.secure(lambda x: x * x, config=jmpc.Config(f=14)).lower(X).as_text()
    assert "f=14" in text.splitlines()[1]
