"""What the front end makes of a function is the same on every executor, so these tests take the one without XLA."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _without_xla(simulated: None) -> None: ...
