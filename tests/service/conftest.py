"""Clients by hand of the cluster that a module of tests has: its fixture `three`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.raw_client import RawClient
from tests.service.three import Three


@pytest.fixture
def alice(three: Three) -> Iterator[RawClient]:
    with RawClient(three, "alice") as client:
        yield client


@pytest.fixture
def bob(three: Three) -> Iterator[RawClient]:
    with RawClient(three, "bob") as client:
        yield client
