"""The operations guide's blocks of commands run, in order, in one empty folder, and print what it says."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "operations-guide.md"
# Each block of commands, and the text after it, if it prints anything.
BLOCKS = re.findall(r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


def shell(folder: Path, script: str) -> str:
    """What a block prints. `jmpc` is the one of this checkout; the block stops at the first command that fails."""
    tools = folder.parent / "bin"
    if not tools.exists():
        tools.mkdir()
        for name, rest in (("jmpc", "-m jmpc "), ("python3", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {rest}"$@"\n')
            (tools / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout


def test_every_block_runs_and_prints_what_the_guide_says(tmp_path: Path) -> None:
    folder = tmp_path / "guide"
    folder.mkdir()
    assert len(BLOCKS) >= 10
    try:
        follow(folder)
    finally:
        kill_parties(folder)


def kill_parties(folder: Path) -> None:
    """Those that a block started, and that run on where a later one fails."""
    for path in folder.glob("pid-*"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(path.read_text()), signal.SIGKILL)


def says(text: str) -> str:
    """As a pattern: `...` stands for what differs from run to run."""
    return re.escape(text).replace(r"\.\.\.", ".*")


def follow(folder: Path) -> None:
    for script, text in BLOCKS:
        printed = shell(folder, script)
        assert re.fullmatch(says(text), printed), f"{script}\nprints:\n{printed}\nand the guide says:\n{text}"


def test_links_lead_to_files() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", GUIDE.read_text())
    assert [t for t in targets if not (GUIDE.parent / t).exists()] == []


COMMANDS = {
    "cluster": ["new", "keygen", "sign", "accept", "update", "rotate", "revoke", "add-client", "show", "check"],
    "party": ["new", "check", "prepare", "run", "status", "allow-rebuild", "rebuild"],
    "programs": ["list", "show", "approve", "revoke"],
}


@pytest.mark.parametrize(("group", "word"), [(group, word) for group, words in COMMANDS.items() for word in words])
def test_every_command_is_in_the_guide(group: str, word: str) -> None:
    assert any(f"jmpc {group} {word} " in script for script, _ in BLOCKS)


def chapter(number: int) -> str:
    """From its headline to the next one."""
    return re.split(r"^## ", GUIDE.read_text(), flags=re.MULTILINE)[number]


def test_the_guide_lists_every_setting_of_a_party() -> None:
    from jmpc.daemon.settings import Settings
    from jmpc.executors.host_order import HostOrder
    from jmpc.service.limits import Limits

    listed = set(
        re.findall(r"`((?:limits|hosts)\.\w+|\w+|\[\w+\])`", re.split(r"^\| key", chapter(2), flags=re.MULTILINE)[1])
    )
    limits = {f"limits.{name}" for name in (*Limits.__dataclass_fields__, "quota", "client_quota")}
    others = {*Settings.__dataclass_fields__} - {"path", "policy_named", "limits"}
    others -= {"quota", "client_quota", "client_quotas", "environment", "hosts"}
    hosts = {f"hosts.{name}" for name in HostOrder.__dataclass_fields__} - {"hosts.index"}
    assert limits | others | hosts | {"[client_quotas]", "[environment]"} <= listed


def test_the_guide_lists_every_metric_of_a_party() -> None:
    from jmpc.daemon.metrics import Metrics

    metrics = Metrics("study", 1, "party/1", ["party/0"])
    listed = set(re.findall(r"`(jmpc_\w+)`", chapter(2)))
    asked = {
        "stored_bytes",
        "stored_values",
        "quota_bytes",
        "certificate_ends_days",
        "authority_ends_days",
    }  # process.py
    process = (ROOT / "jmpc" / "daemon" / "process.py").read_text()
    assert set(re.findall(r'\.watch\("(\w+)"', process)) == asked
    made = {f"jmpc_{name}" for name in asked}
    for family in metrics.registry.collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        made |= {family.name + suffix} if family.name.startswith("jmpc_") else set()
    assert listed == made
