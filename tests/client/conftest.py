"""Three parties in threads of this process, and clients of them, once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import jmpc
from jmpc.client.cluster import Cluster
from tests.service.three import Three

CLIENTS = ["alice", "bob", "carol"]


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with Three(tmp_path_factory.mktemp("three"), CLIENTS) as three:
        yield three


@pytest.fixture(scope="session")
def alice(three: Three) -> Iterator[Cluster]:
    cluster = jmpc.connect(three.folder, identity="alice")
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def bob(three: Three) -> Iterator[Cluster]:
    cluster = jmpc.connect(three.folder, identity="bob")
    yield cluster
    cluster.close()
