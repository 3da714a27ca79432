"""A party's folder in a good cluster, made once and copied for each test."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
from pathlib import Path

import pytest

from jmpc.cluster import make as cluster
from jmpc.daemon import make

CLIENTS = ("hospital-a", "model-owner")


def free_ports(count: int) -> list[int]:
    """Ports of loopback at which nobody listens now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


@pytest.fixture(scope="session")
def party_made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("party")
    *ports, metrics = free_ports(4)
    hosts = [f"127.0.0.1:{port}" for port in ports]
    cluster.create(root / "study", cluster.Order(hosts, CLIENTS), dt.datetime.now(dt.UTC))
    order = make.Order(root / "study", "party/1", metrics=f"127.0.0.1:{metrics}")
    make.create(root / "machine", order)
    return root


@pytest.fixture
def root(party_made_once: Path, tmp_path: Path) -> Path:
    """A folder with the cluster's, `study`, and that of its party 1, `machine`: to do anything with."""
    os.chmod(tmp_path, 0o700)
    return Path(shutil.copytree(party_made_once, tmp_path / "root"))


@pytest.fixture
def config(root: Path) -> Path:
    return root / "machine" / "party.toml"
