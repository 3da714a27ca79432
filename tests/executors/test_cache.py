"""Compiled code on disk: found again by its user, refused from anybody else, and never another function's."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jmpc
from jmpc import _jax
from jmpc.backends import LocalBackend
from jmpc.errors import ConfigError
from jmpc.executors import code_store, segment
from jmpc.executors.cache import CodeFolder, OpenCache, cache_folder, opened
from jmpc.executors.code_store import CodeStore
from jmpc.executors.placement import Placement

ROOT = Path(__file__).resolve().parents[2]
CHANGED = "were changed, or written with another key"
X = np.float32([3.0, -1.0, 2.0])
HERE = Placement.here()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for code, named by the user, and one for his key."""
    monkeypatch.setenv("JMPC_CACHE_DIR", str(tmp_path / "code"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "code"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What XLA compiled, as far as it could be written."""
    made: list[bytes] = []
    code_of = _jax.code_of

    def noted(executable: Any) -> bytes | None:
        code = code_of(executable)
        made.append(code or b"")
        return code

    monkeypatch.setattr(_jax, "code_of", noted)
    return made


def forget() -> None:
    """As a new process: no segment is compiled."""
    LocalBackend.store = CodeStore()


def plus(x: Any) -> Any:
    return x * x + x


def minus(x: Any) -> Any:
    return x * x - x


def ordered(x: Any) -> Any:
    return jnp.sort(x) + x


def run(function: Callable[..., Any], *args: Any) -> np.ndarray:
    forget()
    return np.asarray(jmpc.secure(function)(*(args or (X,))))


def right(function: Callable[..., Any], got: np.ndarray) -> bool:
    np.testing.assert_allclose(got, function(X), atol=1e-3)
    return True


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


# --- found again


def test_a_second_process_compiles_nothing(folder: Path, compiled: list[bytes]) -> None:
    assert right(ordered, run(ordered))
    count, kept = len(compiled), names(folder)
    assert count == len(kept) > 0
    assert right(ordered, run(ordered))
    assert (len(compiled), names(folder)) == (count, kept)


MESH = """
import jax
jax.config.update("jax_num_cpu_devices", 3)
import numpy as np, jmpc
from jmpc import _jax
from tests.executors.test_cache import X, plus, right
made, code_of = [], _jax.code_of
_jax.code_of = lambda executable: made.append(1) or code_of(executable)
with jmpc.mesh():
    assert right(plus, np.asarray(jmpc.secure(plus)(X)))
print(len(made))
"""


def test_the_program_of_a_mesh_is_kept_too(folder: Path) -> None:
    def run_there() -> str:
        run = subprocess.run([sys.executable, "-c", MESH], capture_output=True, text=True, cwd=ROOT, timeout=200)
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    assert run_there() == "1"
    assert run_there() == "0"
    (entry,) = folder.iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert run_there() == "1"


def test_other_masks_and_parties_find_their_own(folder: Path, compiled: list[bytes]) -> None:
    for config in (jmpc.Config(), jmpc.Config(prf="chacha20"), jmpc.Config(k=32, f=8)):
        for _ in range(2):
            forget()
            got = jmpc.secure(lambda x: jnp.maximum(x, 0) * 2, config=config)(X)
            np.testing.assert_allclose(got, np.maximum(X, 0) * 2, atol=0.1)
    count = len(compiled)
    forget()
    jmpc.secure(lambda x: jnp.maximum(x, 0) * 2, config=jmpc.Config(k=32, f=8))(X)
    assert len(compiled) == count


def test_a_folder_and_a_key_are_the_users_alone(folder: Path) -> None:
    run(plus)
    key = folder.parent / "state" / "jmpc" / "cache.key"
    assert [oct(path.stat().st_mode & 0o777) for path in (folder, key.parent)] == ["0o700"] * 2
    assert {oct(path.stat().st_mode & 0o777) for path in (key, *folder.iterdir())} == {"0o600"}
    assert key.stat().st_size == 32


def test_an_empty_variable_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("JMPC_CACHE_DIR", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() is None
    assert right(plus, run(plus))
    assert list(tmp_path.iterdir()) == []


def test_by_default_code_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JMPC_CACHE_DIR")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "a/relative/one/does/not/count")
    assert cache_folder() == CodeFolder(f"{tmp_path}/.cache/jmpc/code", f"{tmp_path}/.local/state/jmpc", False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    found = cache_folder()
    assert found is not None
    assert found.path == "/elsewhere/jmpc/code"


def test_without_a_home_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("no home")

    for name in ("JMPC_CACHE_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder() is None


def test_a_default_folder_out_of_reach_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with opened(CodeFolder(str(tmp_path / "file" / "code"), str(tmp_path), named=False)) as kept:
        assert kept is None


def test_a_full_disk_keeps_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(cache_folder()):
        pass  # The key is made.

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert right(plus, run(plus))
    assert names(folder) == set()


def test_the_users_own_cache_of_jax_is_left_alone(folder: Path, tmp_path: Path) -> None:
    """Ours does not pass through it; what JAX loads from it can be more than XLA can write again."""
    script = f"""
import jax, numpy as np, os, jmpc, jax.numpy as jnp
from tests.executors.test_cache import forget, ordered, right
jax.config.update("jax_compilation_cache_dir", {str(tmp_path / "theirs")!r})
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
X = np.float32([3.0, -1.0, 2.0])
for n in range(3):
    forget()
    assert right(ordered, np.asarray(jmpc.secure(ordered)(X)))
    assert jax.config.jax_compilation_cache_dir == {str(tmp_path / "theirs")!r}
    if n == 1:
        [os.remove(f"{folder}/{{name}}") for name in os.listdir({str(folder)!r})]
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, timeout=200)


# --- never another function's


def entries(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_swapped_entries_are_noticed(folder: Path, compiled: list[bytes]) -> None:
    """Every entry of one function in the place of every entry of another."""
    run(plus)
    of_plus = entries(folder)
    run(minus)
    of_minus = {name: data for name, data in entries(folder).items() if name not in of_plus}
    assert of_minus
    for name in of_minus:
        for other in of_plus.values():
            (folder / name).write_bytes(other)
            count = len(compiled)
            with pytest.warns(RuntimeWarning, match=CHANGED):
                assert right(minus, run(minus))
            assert len(compiled) == count + 1
            assert right(minus, run(minus))  # It was written anew, and is loaded in silence.
            assert len(compiled) == count + 1


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:-1],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"\0",
    "flipped at the end": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "another format": lambda data: b"jmpc code 0\n" + data[12:],
    "no tag": lambda data: data[:12] + bytes(32) + data[44:],
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_changed_entry_is_compiled_anew(folder: Path, change: str, compiled: list[bytes]) -> None:
    run(plus)
    before = entries(folder)
    for name, data in before.items():
        (folder / name).write_bytes(CHANGES[change](data))
    compiled.clear()
    with pytest.warns(RuntimeWarning, match=f"{len(before)} entries .* {CHANGED}"):
        assert right(plus, run(plus))
    assert len(compiled) == len(before)


@given(code=st.binary(max_size=200), spoil=st.data())
def test_no_change_of_an_entry_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, code: bytes, spoil: st.DataObject
) -> None:
    """Any cut, and any other byte at any place."""
    folder = tmp_path_factory.mktemp("entries")
    fd = os.open(folder, os.O_RDONLY)
    try:
        kept = OpenCache(fd, bytes(32))
        kept.write("name", code)
        assert kept.read("name") == code
        data = (folder / "name").read_bytes()
        at = spoil.draw(st.integers(0, len(data) - 1))
        other = spoil.draw(st.integers(1, 255))
        for changed in (data[:at], data[:at] + bytes([data[at] ^ other]) + data[at + 1 :]):
            (folder / "name").write_bytes(changed)
            assert kept.read("name") is None
        (folder / "other").write_bytes(data)
        assert kept.read("other") is None
        assert kept.spoilt == ["name", "name", "other"]
    finally:
        os.close(fd)


def test_a_cache_from_elsewhere_opens_nothing(folder: Path, compiled: list[bytes]) -> None:
    """A folder that came from a build server or a backup was written with another key."""
    run(plus)
    os.remove(folder.parent / "state" / "jmpc" / "cache.key")
    compiled.clear()
    with pytest.warns(RuntimeWarning, match=CHANGED):
        assert right(plus, run(plus))
    assert compiled


def test_code_of_ours_that_cannot_be_loaded_is_compiled_anew(folder: Path, compiled: list[bytes]) -> None:
    run(plus)
    with opened(cache_folder()) as kept:
        assert kept is not None
        for name in names(folder):
            kept.write(name, b"no code")
    compiled.clear()
    assert right(plus, run(plus))
    assert compiled


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_an_entry_that_is_no_file_is_none(folder: Path, kind: str, tmp_path: Path) -> None:
    run(plus)
    for name, data in entries(folder).items():
        os.remove(folder / name)
        if kind == "link":
            (tmp_path / name).write_bytes(data)
            os.symlink(tmp_path / name, folder / name)
        elif kind == "pipe":
            os.mkfifo(folder / name)
        else:
            os.mkdir(folder / name)
    assert right(plus, run(plus))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("JAX", lambda m: m.setattr(jax, "__version__", "0.0")),
        ("flags", lambda m: m.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")),
        ("settings", lambda m: m.setattr(_jax, "_NO_MATTER", ())),
        ("machine", lambda m: m.setattr(_jax, "_processor", lambda: ["another"])),
        ("sources", lambda m: m.setattr(code_store, "_SOURCES", "another")),
        ("options", lambda m: m.setattr(segment, "_HEAVY", {})),
        (
            "form of products",
            lambda m: m.setattr(Placement, "here", lambda: replace(HERE, products="int8")),
        ),
        ("masks", lambda m: m.setattr(Placement, "here", lambda: replace(HERE, inside=True))),
    ],
)
def test_what_decides_the_code_is_in_its_name(what: str, change: Callable[..., None]) -> None:
    before = code_store.common_text(Placement.here())
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        assert code_store.common_text(Placement.here()) != before
    assert code_store.common_text(Placement.here()) == before


# --- whose folder


MODES = [0o777, 0o775, 0o757, 0o722, 0o720]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("which", ["code", "state/jmpc"])
def test_a_folder_that_others_can_write_to_is_refused(folder: Path, which: str, mode: int) -> None:
    path = folder.parent / which
    path.mkdir(parents=True)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="others can write") as caught:
        run(plus)
    assert f"chmod go-w {path}" in str(caught.value)
    assert "JMPC_CACHE_DIR" in str(caught.value)
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o750, 0o711])
def test_a_folder_that_others_can_only_read_is_used(folder: Path, mode: int) -> None:
    folder.mkdir()
    folder.chmod(mode)
    run(plus)
    assert names(folder)


def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(plus)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(ConfigError, match="another user's"):
        run(plus)


def test_a_default_folder_that_is_refused_is_told_and_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JMPC_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = cache_folder()
    assert found is not None
    Path(found.path).mkdir(parents=True)
    Path(found.path).chmod(0o777)
    with pytest.warns(RuntimeWarning, match="compiled code is not kept: others can write"):
        assert right(plus, run(plus))
    assert os.listdir(found.path) == []


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    folder.touch()
    with pytest.raises(ConfigError, match="cannot be opened"):
        run(plus)


@pytest.mark.parametrize(("mode", "size", "word"), [(0o644, 32, "others may know"), (0o600, 31, "spoilt")])
def test_a_key_that_others_know_or_that_is_cut_is_refused(folder: Path, mode: int, size: int, word: str) -> None:
    run(plus)
    key = folder.parent / "state" / "jmpc" / "cache.key"
    key.write_bytes(bytes(size))
    key.chmod(mode)
    with pytest.raises(ConfigError, match=word):
        run(plus)


def test_a_folder_that_is_put_in_place_of_ours_must_pass_too(folder: Path, tmp_path: Path) -> None:
    """Who can rename the folders above ours may lead us to another one: it is checked as it was opened."""
    run(plus)
    trap = tmp_path / "trap"
    trap.mkdir()
    trap.chmod(0o777)
    folder.rename(tmp_path / "away")
    folder.symlink_to(trap)
    with pytest.raises(ConfigError, match="others can write"):
        run(plus)


def test_many_at_once_agree_on_one_key(tmp_path: Path) -> None:
    found = CodeFolder(str(tmp_path / "code"), str(tmp_path / "state"), named=True)
    together = threading.Barrier(8)

    def first(_: int) -> bytes:
        together.wait()
        with opened(found) as kept:
            assert kept is not None
            return kept._key

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(first, range(8)))) == 1
    assert os.listdir(tmp_path / "state") == ["cache.key"]


def test_the_key_is_not_shown(tmp_path: Path) -> None:
    with opened(CodeFolder(str(tmp_path / "code"), str(tmp_path / "state"), named=True)) as kept:
        assert repr(kept) == "OpenCache(hidden)"


# --- nobody else's code


@pytest.fixture
def other_work() -> Iterator[list[int]]:
    """A thread that jits functions of its own all the while."""
    stop, made = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            shift = len(made)

            def my_private_model(x: Any, shift: int = shift) -> Any:
                return (x + shift) @ jnp.full((4, 4), 314159.25)

            jax.jit(my_private_model)(np.ones(4, np.float32))
            made.append(shift)

    thread = threading.Thread(target=work)
    thread.start()
    yield made
    stop.set()
    thread.join()


def test_code_of_another_thread_is_not_kept(
    folder: Path, compiled: list[bytes], other_work: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of our own compiles waits until the other thread has compiled something: so it did beside all of them."""
    code_of = _jax.code_of

    def beside(executable: Any) -> bytes | None:
        until = len(other_work) + 2
        while len(other_work) < until:
            threading.Event().wait(0.001)
        assert not jax.config.jax_compilation_cache_dir
        return code_of(executable)

    monkeypatch.setattr(_jax, "code_of", beside)
    run(plus)
    assert len(compiled) == len(names(folder)) > 0
    with opened(cache_folder()) as kept:
        assert kept is not None
        for name in names(folder):
            code = kept.read(name)
            assert code in compiled
            assert b"my_private_model" not in code


def test_nothing_warns_where_nothing_is_wrong(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(plus)
        run(plus)
