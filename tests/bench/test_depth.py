"""The benchmark of depth: what it counts, and its table; no time is asserted."""

from __future__ import annotations

from typing import Any

import pytest

from bench import depth


def test_a_layer_more_is_no_new_code() -> None:
    two, four = (depth.measure("dense, unrolled", layers) for layers in (2, 4))
    assert two["distinct"] == four["distinct"] > 0
    assert min(four.values()) > 0


@pytest.mark.parametrize("case", depth.CASES)
def test_every_case_has_arguments_that_fit(case: str) -> None:
    import jax

    layer, shape, *_, scanned = depth.CASES[case]
    found = jax.eval_shape(depth.stack(layer, scanned), *depth.arguments(case, 3))
    assert found.shape == shape


def test_the_ratio_is_of_the_medians_of_the_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1.0, 9.0, 3.0] * 3)

    def run(case: str, layers: int) -> dict[str, Any]:
        time = next(seconds) if layers == 1 else 4.0
        return {"plan": time, "compile": time, "distinct": 7 if layers == 1 else 9}

    monkeypatch.setattr(depth, "run", run)
    page = depth.table(3)
    for case in depth.CASES:
        assert f"| {case} | 3.00 / 4.00 | 3.00 / 4.00 | 7 / 9 | 1.33 |" in page
