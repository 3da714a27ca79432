"""Settings are checked when they are made, and the message names the key."""

from __future__ import annotations

import dataclasses

import pytest

from jmpc.config import Config
from jmpc.errors import ConfigError

WRONG = {
    "k": [16, 64.0, "64", True, None],
    "f": [0, 29, 18.0, True, "18"],
    "protocol": ["spdz", None, []],
    "network": ["moon", None, []],
    "failure_bits": [0, 129, 40.0, True],
    "error": [1e-5, 0.011, 0.0, -1e-4, 1, "1e-4", None, float("nan"), float("inf")],
    "prf": ["threefry", None, []],
    "check": [1, "yes", None],
    "tolerance": [0, -1.0, "a", None, float("nan")],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_setting_out_of_range_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{key}=") as caught:
        Config(**{key: value})  # pyright: ignore[reportArgumentType]  (on purpose)
    assert caught.value.where == f"Config.{key}"
    assert caught.value.todo


def test_every_setting_has_a_wrong_value_here() -> None:
    assert set(WRONG) == {field.name for field in dataclasses.fields(Config)}


def test_fraction_bits_leave_room_for_the_value() -> None:
    assert Config(k=32, f=12).value_bits == 6
    with pytest.raises(ConfigError):
        Config(k=32, f=13)


@pytest.mark.parametrize(("k", "f", "least"), [(64, 28, 2**-18), (64, 18, 2**-16), (64, 12, 1e-4), (32, 10, 1e-4)])
def test_the_error_budget_goes_as_far_down_as_rounding_lets_it(k: int, f: int, least: float) -> None:
    assert Config(k=k, f=f, error=least).least_error == least
    assert Config(k=k, f=f).error == 1e-4, "the default is possible in every format"
    with pytest.raises(ConfigError, match="error="):
        Config(k=k, f=f, error=least * 0.999)


def test_a_config_is_frozen_and_replaced_whole() -> None:
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.k = 32  # pyright: ignore[reportAttributeAccessIssue]  (on purpose)
    assert config.replace(k=32, f=10) == Config(k=32, f=10)
    with pytest.raises(ConfigError):
        config.replace(k=32)


def test_check_mode_is_the_callers_own_affair() -> None:
    assert Config(check=True, tolerance=0.5).header() == Config().header()
    assert Config(f=17).header() != Config().header()
    assert Config(error=1e-3).header() != Config().header()
