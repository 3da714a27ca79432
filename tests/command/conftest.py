"""Three parties in threads of this process, once for all commands that ask a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.service.three import Three

CLIENTS = ["alice", "bob"]


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with Three(tmp_path_factory.mktemp("commands"), CLIENTS) as three:
        yield three
