"""The storage key: its file is its owner's alone, and nothing of it is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jmpc.errors import StoreError
from jmpc.store import StorageKey


def test_a_key_is_read_as_it_was_made(tmp_path: Path) -> None:
    made = StorageKey.create(tmp_path / "key")
    read = StorageKey.read(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert read.id == made.id != StorageKey.create(tmp_path / "other").id
    assert read.unwrap(made.wrap(bytes(32), "about"), "about") == bytes(32)
    assert read.unwrap(made.wrap(bytes(32), "about"), "other") is None
    assert made.wrap(bytes(32), "about") != made.wrap(bytes(32), "about")
    for text in (repr(made), str(made)):
        assert text == f"StorageKey({made.id}, hidden)"


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    made = StorageKey.create(tmp_path / "key")
    with pytest.raises(StoreError, match="File exists"):
        StorageKey.create(tmp_path / "key")
    (tmp_path / "link").symlink_to("nothing")
    with pytest.raises(StoreError, match="File exists"):
        StorageKey.create(tmp_path / "link")
    assert StorageKey.read(tmp_path / "key").id == made.id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777, 0o644])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    StorageKey.create(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(StoreError, match=f"its mode is 0{mode:o}"):
        StorageKey.read(tmp_path / "key")
    (tmp_path / "key").chmod(0o400)
    StorageKey.read(tmp_path / "key")


def test_a_link_may_not_lead_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "mount" / "..2026").mkdir(parents=True)
    made = StorageKey.create(tmp_path / "mount" / "..2026" / "key")
    (tmp_path / "mount" / "..data").symlink_to("..2026")
    (tmp_path / "mount" / "key").symlink_to("..data/key")
    assert StorageKey.read(tmp_path / "mount" / "key").id == made.id
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "key").symlink_to(tmp_path / "mount" / "key")
    with pytest.raises(StoreError, match="it is a link to"):
        StorageKey.read(tmp_path / "link" / "key")


def test_a_key_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's owner is whom the disk names; who runs this is somebody else than that."""
    StorageKey.create(tmp_path / "key")
    owner = 12345
    found = os.fstat
    monkeypatch.setattr(os, "fstat", lambda fd: os.stat_result((*found(fd)[:4], owner, *found(fd)[5:])))
    with pytest.raises(StoreError, match="belongs to another user"):
        StorageKey.read(tmp_path / "key")


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"jmpc storage key 1\n", b"jmpc storage key 2\n" + b"0" * 64, b"jmpc storage key 1\n" + b"0" * 63]
    + [b"jmpc storage key 1\n" + b"0" * 65, b"jmpc storage key 1\n" + b"g" * 64, b"0" * 64, b"\xff" * 300, b"0" * 5000],
)
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StoreError, match="this is no storage key") as found:
        StorageKey.read(path)
    assert "0000" not in str(found.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing"):
        with pytest.raises(StoreError):
            StorageKey.read(path)
    with pytest.raises(StoreError, match="32 bytes"):
        StorageKey(b"short")
