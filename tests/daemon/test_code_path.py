"""Code that others could change is found, wherever in a party's folders it lies, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jmpc.daemon import code_path
from jmpc.daemon.code_path import MOST_FAULTS, code_faults


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder of packages, as an installation leaves it."""
    os.chmod(tmp_path, 0o755)
    package = tmp_path / "site" / "package"
    (package / "inner").mkdir(parents=True)
    for path in (package / "__init__.py", package / "inner" / "module.py", package / "inner" / "native.so"):
        path.touch()
    for path in (tmp_path / "site", *(tmp_path / "site").rglob("*")):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)
    return tmp_path / "site"


def found(*paths: Path) -> list[tuple[str, str]]:
    return [(fault.name, fault.where) for fault in code_faults(map(str, paths))]


def test_the_code_of_this_process_is_its_own(code: Path) -> None:
    assert found(code) == []


@pytest.mark.parametrize(
    "place", ["package", "package/__init__.py", "package/inner", "package/inner/module.py", "package/inner/native.so"]
)
@pytest.mark.parametrize("mode", [0o666, 0o646, 0o1777])
def test_what_anybody_may_change_is_found(code: Path, place: str, mode: int) -> None:
    os.chmod(code / place, mode)
    assert found(code) == [("writable-code", str(code / place))]


def test_what_a_group_may_change_is_found(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = code / "package" / "__init__.py"
    os.chmod(place, 0o664)
    assert found(code) == []  # a group of the user's own number is the user's own
    if os.geteuid() == 0:
        os.chown(place, 0, 4242)
    else:
        own = os.stat(place)
        monkeypatch.setattr(code_path, "others_write", lambda of: of.st_ino == own.st_ino)
    assert found(code) == [("writable-code", str(place))]


def test_what_another_user_owns_is_found(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = code / "package" / "inner" / "module.py"
    if os.geteuid() == 0:
        os.chown(place, 4242, 4242)
        assert found(code) == [("foreign-code", str(place))]
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
        assert ("foreign-code", str(place)) in found(place)


def test_a_folder_above_that_others_may_rename_in_is_found(code: Path) -> None:
    os.chmod(code.parent, 0o777)
    assert found(code / "package") == [("writable-code", str(code.parent))]
    os.chmod(code.parent, 0o1777)  # as /tmp: others cannot take away what is not theirs
    assert found(code / "package") == []
    assert found(code.parent)[0] == ("writable-code", str(code.parent))  # but they could add to it


def test_links_are_followed_and_what_is_above_their_targets_is_looked_at(code: Path) -> None:
    away = code.parent / "away" / "deep"
    away.mkdir(parents=True)
    (away / "module.py").touch()
    os.chmod(away / "module.py", 0o644)
    (code / "package" / "linked").symlink_to(away)
    os.chmod(away, 0o755)
    os.chmod(away.parent, 0o777)
    assert found(code) == [("writable-code", str(away.parent))]
    os.chmod(away.parent, 0o755)
    os.chmod(away / "module.py", 0o666)
    assert found(code) == [("writable-code", str(away / "module.py"))]


def test_links_in_a_circle_and_to_nothing_end(code: Path) -> None:
    (code / "package" / "circle").symlink_to(code)
    (code / "package" / "itself").symlink_to("itself")
    (code / "package" / "nothing").symlink_to("nowhere")
    assert found(code) == []


def test_what_this_user_may_not_read_it_cannot_run(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir, hidden = os.scandir, str(code / "package" / "inner")

    def refused(path: str) -> object:
        if path == hidden:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    os.chmod(code / "package" / "inner" / "module.py", 0o666)
    assert len(found(code)) == 1
    monkeypatch.setattr(os, "scandir", refused)
    assert found(code) == []


def test_a_folder_that_is_above_another_one_is_walked_too(code: Path) -> None:
    os.chmod(code / "package" / "__init__.py", 0o666)
    inner = code / "package" / "inner"
    for order in ((inner, code), (code, inner)):
        assert found(*order) == [("writable-code", str(code / "package" / "__init__.py"))]


def test_of_thousands_a_few_are_named(code: Path) -> None:
    for number in range(3 * MOST_FAULTS):
        (code / f"m{number}.py").touch()
        os.chmod(code / f"m{number}.py", 0o666)
    assert len(found(code)) == MOST_FAULTS + 1
    assert code_faults([str(code)])[-1].what == "more places are like these"


def test_a_party_looks_at_python_jmpc_and_all_that_it_may_import(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[list[str]] = []
    monkeypatch.setattr(code_path, "code_faults", lambda paths: looked.append(list(paths)) or [])
    code_path.faults_of_a_party(["/opt/cuda/lib64"])
    (paths,) = looked
    import numpy
    import structlog

    import jmpc

    homes = [Path(os.__file__).parent, Path(jmpc.__file__).parent, Path("/opt/cuda/lib64")]
    homes += [Path(module.__file__ or "").parent.parent for module in (numpy, structlog)]
    assert {str(home) for home in homes} <= set(paths)
