"""A change is whole after a crash at any step, and two at once do not lose one."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jmpc.cluster import Roster, change, check, files, make
from jmpc.errors import ConfigError

from .planted import CLIENTS, HOSTS, NOW, signing

STEPS = ("open", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "fchmod")


class Crash(BaseException):
    """The machine stops: nothing after it happens, not even what would clean up."""


class Machine:
    """Counts what changes files, and stops at one of these steps, for good."""

    def __init__(self, patch: pytest.MonkeyPatch, last: int, exception: type[BaseException] = Crash) -> None:
        self.steps, self.last, self.exception = 0, last, exception
        for name in STEPS:
            patch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            self.steps += 1
            if self.steps > self.last:
                raise self.exception(28, "no space left on device")
            return real(*args, **kwargs)

        return step


CHANGES: dict[str, Callable[[Path], object]] = {
    "rotate": lambda folder: change.rotate(folder, "party/1", signing()),
    "renew": lambda folder: change.rotate(folder, "party/1", signing(), same_key=True),
    "add a client": lambda folder: change.add_client(folder, "bank", signing()),
    "revoke": lambda folder: change.revoke(folder, "client/hospital-a", NOW),
}


def state(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_crashed_at_any_step_is_made_or_not_made(name: str, made_once: Path, tmp_path: Path) -> None:
    folder, seen = tmp_path / "study", set[int]()

    before = Roster.read(made_once / "cluster.toml")
    for last in range(500):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made_once, folder)
        with pytest.MonkeyPatch.context() as patch:
            Machine(patch, last)
            try:
                CHANGES[name](folder)
                done = True
            except Crash:
                done = False
        after = Roster.read(folder / "cluster.toml")
        assert after.revision in (1, 2)
        assert (after == before) == (after.revision == 1)
        found = {fault.name for fault in check(folder, now=NOW, resolve=None).faults}
        assert found == ({"revoked", "no-key"} if name == "revoke" and after.revision == 2 else set())
        seen.add(after.revision)
        if after.revision == 1:
            assert {path: content for path, content in state(folder).items() if ".jmpc" not in path} == state(made_once)
            CHANGES[name](folder)  # what the crash left is in nobody's way
        with files.locked(folder):
            assert not [path for path in state(folder) if ".jmpc" in path]
        if done:
            break
    else:
        raise AssertionError("it does not end")
    assert seen == {1, 2}


def test_a_new_cluster_that_crashed_at_any_step_is_whole_or_can_be_made(tmp_path: Path) -> None:
    for last in range(1000):
        folder = tmp_path / f"study{last}"
        with pytest.MonkeyPatch.context() as patch:
            Machine(patch, last)
            try:
                make.create(folder, make.Order(HOSTS, CLIENTS, "study"), NOW)
                done = True
            except Crash:
                done = False
        if folder.exists():
            files.finish(folder)
        if not (folder / "cluster.toml").exists():
            assert not folder.exists() or [path.name for path in folder.iterdir()] in ([], [".jmpc-staging"])
            make.create(folder, make.Order(HOSTS, CLIENTS, "study"), NOW)
        assert check(folder, now=NOW, resolve=None).faults == ()
        if done:
            return
    raise AssertionError("it does not end")


def test_a_full_disk_is_an_error_and_leaves_nothing(made_once: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    errors = 0
    for last in range(500):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made_once, folder)
        with pytest.MonkeyPatch.context() as patch:
            Machine(patch, last, OSError)
            try:
                change.rotate(folder, "party/1", signing())
                break
            except ConfigError as exc:
                errors += 1
                assert exc.where  # noqa: PT017
                assert exc.what  # noqa: PT017
        assert check(folder, now=NOW, resolve=None).faults == ()
    assert errors > 20


def test_two_commands_at_once_do_not_lose_one(study: Path) -> None:
    names = [f"client-{number}" for number in range(8)]
    threads = [threading.Thread(target=change.add_client, args=(study, name, signing())) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    roster = Roster.read(study / "cluster.toml")
    assert roster.revision == 1 + len(names)
    assert {f"client/{name}" for name in names} <= {client.name for client in roster.clients}
    assert check(study, now=NOW, resolve=None).faults == ()


def test_a_folder_that_is_held_is_not_waited_for_without_end(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LOCK_S", 0.0)
    with files.locked(study), pytest.raises(ConfigError, match="another command is changing this folder"):
        change.revoke(study, "party/0", NOW)


def test_keys_are_private_from_the_first_moment(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[tuple[str, int]] = []
    real = os.open

    def watched(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & os.O_CREAT:
            modes.append((os.path.basename(path), mode))
        return real(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", watched)
    change.rotate(study, "party/0", signing())
    assert modes
    assert {mode for _, mode in modes} == {0o600}
    for folder in ("party-0", "authority"):
        assert (study / folder).stat().st_mode & 0o777 == 0o700
        assert (study / folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert (study / "cluster.toml").stat().st_mode & 0o777 == 0o644


def test_a_link_in_the_place_of_a_folder_is_not_followed(study: Path, tmp_path: Path) -> None:
    (study / "party-0").rename(tmp_path / "elsewhere")
    (study / "party-0").symlink_to(tmp_path / "elsewhere")
    before = state(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="symbolic link"):
        change.rotate(study, "party/0", signing())
    assert state(tmp_path / "elsewhere") == before
