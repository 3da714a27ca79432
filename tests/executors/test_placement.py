"""Where parties compute: chosen in one place by the devices, a part of every key, and nothing that results show."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.errors import ConfigError
from jmpc.executors import code_store, segment
from jmpc.executors.code_store import CodeStore
from jmpc.executors.local import run_local
from jmpc.executors.placement import Placement
from jmpc.executors.segment import Placed, compiler_options
from jmpc.ring.product import DEFAULT_FORM
from tests.executors.programs import KEYS

ROOT = Path(__file__).resolve().parents[2]
X = np.array([[1.5, -2.0], [0.25, 3.0]], np.float32)


class Device(NamedTuple):
    platform: str
    id: int


def test_it_is_what_suits_the_devices() -> None:
    assert Placement.on([Device("cpu", 0)]) == Placement((Device("cpu", 0),), DEFAULT_FORM, False)
    assert Placement.on([Device("cuda", 0)]) == Placement((Device("cuda", 0),), "int8", True)
    assert Placement.here() == Placement((jax.devices()[0],))


@pytest.mark.parametrize("prf", ["aes", "chacha20"])
@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_masks_of_aes_are_the_hosts_everywhere(prf: str, platform: str) -> None:
    inside = Placement.on([Device(platform, 0)]).draws_inside(prf)
    assert inside == (platform != "cpu" and prf == "chacha20")


def test_options_for_a_cpu_are_for_a_cpu() -> None:
    assert compiler_options(1, Placement.on([Device("cuda", 0)])) == {}

    def levels(quick: bool) -> list[int]:
        sizes = 1, segment.SMALL_WORK, segment.HEAVY_WORK
        return [compiler_options(n, Placement.here(), quick)["xla_backend_optimization_level"] for n in sizes]

    assert levels(False) == [0, 1, 1]
    assert levels(True) == [0, 0, 0]


def test_too_few_devices_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs 3 devices, and there is 1"):
        Placement.of_each([Device("cuda", 0)])
    assert Placement.of_each([Device("cuda", n) for n in range(5)]).devices == tuple(
        Device("cuda", n) for n in range(3)
    )


def test_each_placement_has_plans_and_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bits, by other code: of another device, of other products, of masks drawn inside."""
    monkeypatch.setenv("JMPC_CACHE_DIR", "")
    config = jmpc.Config(prf="chacha20")
    flow = jmpc.secure(lambda x, y: jnp.maximum(x @ y, 0), config=config).lower(X, X).flow
    here, store = Placement.here(), CodeStore()
    rng = np.random.default_rng(0)
    inputs = [[rng.integers(0, 1 << 60, spec[0], np.uint64) for spec in p.input_specs] for p in flow.plans]
    inputs[1][0], inputs[2][0], inputs[0][0] = inputs[0][1], inputs[1][1], inputs[2][1]
    inputs[1][2], inputs[2][2], inputs[0][2] = inputs[0][3], inputs[1][3], inputs[2][3]
    found, sizes = [], []
    for placement in (here, replace(here, products="int8"), replace(here, inside=True), here):
        held, _ = run_local(flow.placed(placement), inputs, KEYS, store)
        found.append(held)
        sizes.append(len(store))
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3]
    for other in found[1:]:
        for a, b in zip(chain(*found[0]), chain(*other), strict=True):
            np.testing.assert_array_equal(a, b)
    assert flow.placed(here) is flow.placed(Placement.here())
    assert flow.placed(here).plans is flow.placed(replace(here, inside=True)).plans
    assert flow.placed(here).plans is not flow.placed(replace(here, products="int8")).plans


def test_the_name_of_code_on_disk_says_the_placement() -> None:
    here = Placement.here()
    texts = {code_store.common_text(p) for p in (here, replace(here, products="int8"), replace(here, inside=True))}
    assert len(texts) == 3
    assert code_store.common_text(Placement.here()) in texts


ON_ANOTHER_DEVICE = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import numpy as np, jmpc
from jmpc.executors import segment
from jmpc.backends import LOCAL
x, f = np.float32([1.5, -2]), jmpc.secure(lambda x: x * x + x)
first, second = jax.devices()
got = [np.asarray(f(x))]
count = len(LOCAL.store)
with jax.default_device(second):
    assert LOCAL.placement.devices == (second,)
    got.append(np.asarray(f(x)))
assert LOCAL.placement.devices == (first,)
assert len(LOCAL.store) == 2 * count > 0, "code of one device ran for another"
flow = f.lower(x).flow
for device in (first, second):
    with jax.default_device(device):
        for call in LOCAL.store.code(flow.placed(LOCAL.placement)).values():
            assert {d for s in jax.tree.leaves(call.input_shardings) for d in s.device_set} == {device}
for y in got:
    np.testing.assert_allclose(y, x * x + x, atol=1e-3)
print("done")
"""


@pytest.mark.parametrize("kept", [False, True])
def test_a_call_runs_on_the_device_of_its_thread(kept: bool, tmp_path: Path) -> None:
    """With code on disk, that of one device is not loaded for another."""
    env: dict[str, Any] = {**os.environ, "JMPC_CACHE_DIR": str(tmp_path / "code") if kept else ""}
    env |= {"XDG_STATE_HOME": str(tmp_path / "state"), "JAX_PLATFORMS": "cpu"}
    for _ in range(1 + kept):
        done = subprocess.run(
            [sys.executable, "-c", ON_ANOTHER_DEVICE], capture_output=True, text=True, cwd=ROOT, env=env, timeout=500
        )
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_placed_plan_says_how_its_masks_are_drawn() -> None:
    plans = jmpc.secure(lambda x: x * x).lower(X).flow.plans
    accelerator = Placement.on([Device("cuda", 0)])
    assert [Placed(plans, accelerator, prf).inside for prf in ("aes", "chacha20")] == [False, True]
    assert not Placed.here(plans, "chacha20").inside
