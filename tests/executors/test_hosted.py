"""A party on two hosts: the same bits as on one, and a host that is lost is named and holds nobody up."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.backends import pieces
from jmpc.daemon.settings import read_settings
from jmpc.daemon.trial import free_ports
from jmpc.errors import ConfigError, PeerError
from jmpc.executors.code_store import CodeStore
from jmpc.executors.engine import program_text
from jmpc.executors.host_order import HostOrder, check_address
from jmpc.executors.hosted import HeadEngine
from jmpc.executors.hosts import Hosts, Word
from jmpc.executors.placement import Placement
from jmpc.executors.run import Run
from tests.executors.programs import KEYS
from tests.service.raw_client import encoded

ROOT = Path(__file__).parents[2]


def pair(what: str) -> tuple[list[dict[str, Any]], str, int]:
    """What the head says, what its follower says, and how that ends."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.executors.hosted_side", f"127.0.0.1:{port}"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    follower = subprocess.Popen([*command, "1", what], env=environment, **pipes)
    try:
        said = subprocess.run(
            [*command, "0", what], env=environment, input=f"{follower.pid}\n", timeout=280, check=False,
            capture_output=True, text=True, cwd=ROOT,
        )  # fmt: skip
        assert said.returncode == 0, said.stderr
        ends = follower.communicate(timeout=60)[0] if what == "ended" else ""
    finally:
        follower.kill()
        follower.communicate()
    lines = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]
    return lines, ends, follower.returncode


def lost(line: dict[str, Any]) -> bool:
    what = "host 1 of this party itself was lost"
    return (line["error"], line["what"]) == ("HostError", what) and line["where"].startswith("host 0 of 2, 127.0.0.1:")


def test_results_are_the_same_bits_on_two_hosts_until_one_is_lost() -> None:
    lines, _, _ = pair("runs")
    product, inside, broken, again, *errors = lines
    for line in (product, inside, again):
        assert (line["differ"], line["parts"]) == (0, 2), line
        assert line["arrays"] >= 3
    assert (broken["error"], broken["what"]) == ("PeerError", "party 2 was lost")
    assert len(errors) == 2
    assert all(map(lost, errors)), errors


def test_a_follower_that_hangs_is_lost_after_the_deadline() -> None:
    lines, _, _ = pair("stopped")
    assert len(lines) == 2
    assert all(map(lost, lines)), lines
    assert lines[0]["why"] == "it took no part within 2 s"


def test_a_follower_ends_with_its_head() -> None:
    _, ends, code = pair("ended")
    assert code == 0
    assert json.loads(ends.splitlines()[-1]) == {"followed": "to the end"}


def test_the_blocks_of_the_page_run_and_its_settings_are_read() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    space: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "scaling.md", "exec"), space)  # noqa: S102
    assert space["engine"].placement.devices
    assert callable(space["head"])
    keys = "".join(re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    text = f'format = 1\nparty = "party/2"\ncluster = "study"\nlisten = "[::]:7003"\n{keys}'
    found, faults = read_settings(text, ROOT / "party.toml")
    assert faults == []
    assert found is not None
    assert (found.devices, found.platform) == (None, "gpu")
    assert found.hosts == HostOrder("10.0.0.1:7100", 2, 0)


class Told:
    """Hosts of which there is but the head: what it says to the others, and what ended them."""

    def __init__(self) -> None:
        self.words: list[Word] = []
        self.whys: list[str] = []

    def say(self, word: Word, content: bytes = b"") -> None:
        if word != Word.IDLE:
            self.words.append(word)

    def together(self, call: Any) -> Any:
        return call()

    def meet(self) -> None:
        pass

    def lost(self, why: str) -> None:
        self.whys.append(why)

    def close(self) -> None:
        pass


class Unplugged:
    def exchange(self, *_: Any) -> Any:
        raise PeerError("party 2 was lost")


def fail(*_: Any, **__: Any) -> Any:
    raise MemoryError


@pytest.mark.parametrize(
    ("where", "words", "whys"),
    [
        ("compile", [], []),
        ("segment", [Word.RUN], ["this one left a run amid a segment, by MemoryError"]),
        ("round", [Word.RUN, Word.ABORT], []),
    ],
)
def test_a_head_that_fails_alone_leaves_nobody_in_a_run(
    where: str, words: list[Word], whys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Any = Told()
    flow, inputs = encoded(jmpc.secure(lambda x: jnp.maximum(x, 0.0)), np.ones(2, np.float32))
    shares = pieces(flow, [inputs[0]], None)
    head = HeadEngine(1, told, Placement.here())
    key = head.load(program_text(flow.share, flow.schedule))
    if where == "compile":
        monkeypatch.setattr(CodeStore, "code", fail)
    if where == "segment":
        monkeypatch.setattr(Run, "segments", fail)
    told.words.clear()
    with pytest.raises(PeerError if where == "round" else MemoryError):
        head.run(key, Unplugged(), KEYS[1], list(shares[1]))
    head.close()
    assert (told.words, told.whys) == ([*words, Word.STOP], whys)


@pytest.mark.parametrize("address", ["8.8.8.8:7100", "0.0.0.0:7100", "[2001:4860:4860::8888]:7100"])
def test_hosts_do_not_meet_at_a_public_address(address: str) -> None:
    with pytest.raises(ConfigError, match="unencrypted"):
        Hosts.join(HostOrder(address, 2, 0))
    check_address(address, public=True)


@pytest.mark.parametrize("address", ["", "7100", "host:7100", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:99999", "10.0.0.1:x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="is not where the hosts of a party meet"):
        check_address(address, public=True)


@pytest.mark.parametrize("address", ["127.0.0.1:7100", "10.1.2.3:7100", "192.168.0.9:1", "[fd00::1]:7100"])
def test_hosts_meet_at_a_private_address(address: str) -> None:
    check_address(address, public=False)
