"""Profiles of hypothesis for tests of secure functions: how many examples, and whether they are the same each time.

    dev       20 examples, new ones each time; the seed is printed with a failure
    ci        20 examples, the same ones each time, on every machine
    nightly   500 examples, new ones each time; the seed is printed with a failure

What goes in: a name. What comes out: hypothesis settings in force, whatever it found in the environment (under CI it
repeats itself unless told). None has a deadline: a first call compiles.
"""

from __future__ import annotations

import os
from typing import Any

_SHARED: dict[str, Any] = {"deadline": None, "print_blob": False}
_RATES = ("too_slow",)  # health checks of how fast examples are drawn: a busy machine is no fault of a test
PROFILES: dict[str, dict[str, Any]] = {
    "dev": {"max_examples": 20, "derandomize": False},
    "ci": {"max_examples": 20, "derandomize": True},
    "nightly": {"max_examples": 500, "derandomize": False},
}


def load(name: str) -> None:
    """Register a profile as `jmpc-NAME` and put it in force. Needs hypothesis."""
    from hypothesis import HealthCheck, settings

    calm = [HealthCheck[check] for check in _RATES]
    settings.register_profile(f"jmpc-{name}", **_SHARED, suppress_health_check=calm, **PROFILES[name])
    settings.load_profile(f"jmpc-{name}")


def is_random(name: str) -> bool:
    """Whether a run draws what no other has drawn."""
    return not PROFILES[name]["derandomize"]


def fresh_seed() -> int:
    return int.from_bytes(os.urandom(4), "big")
