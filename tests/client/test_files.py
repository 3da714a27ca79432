"""Arrays in files: each format, read back; what is none is refused, and no value is said."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from jmpc.client import files
from jmpc.errors import ArgumentError, ConfigError

ARRAYS = {"a": np.float32([[1, 2], [3, 4]]), "b": np.array([True, False]), "c": np.array([1, -2, 3])}


def same(found: files.Arrays, expected: dict[str, np.ndarray]) -> bool:
    assert isinstance(found, dict)
    return list(found) == list(expected) and all(
        np.array_equal(found[n], x) and found[n].dtype == x.dtype for n, x in expected.items()
    )


def test_arrays_by_name_come_back(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    files.write(tmp_path / "x.npz", ARRAYS)
    save_file(ARRAYS, tmp_path / "x.safetensors")
    assert same(files.read(tmp_path / "x.npz"), ARRAYS)
    assert same(files.read(tmp_path / "x.safetensors"), ARRAYS)


def test_one_array_comes_back(tmp_path: Path) -> None:
    files.write(tmp_path / "x.npy", {"any": ARRAYS["a"]})
    found = files.read(tmp_path / "x.npy")
    assert isinstance(found, np.ndarray)
    assert np.array_equal(found, ARRAYS["a"])


def test_a_table_of_text_has_columns_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\ufeffdose, age,sick\n0.5,71,true\n-1e-3, 40 ,False\n")
    expected = {"dose": np.array([0.5, -1e-3]), " age": np.array([71, 40]), "sick": np.array([True, False])}
    assert same(files.read(tmp_path / "x.csv"), expected)


TABLES = {
    "a word": ("a,b\n1,SECRET\n", "row 2 of column 'b'"),
    "an empty cell": ("a,b\n1,2\n3,\n", "row 3 of column 'b'"),
    "digits in groups": ("a\n1_000\n", "row 2 of column 'a'"),
    "no number at all": ("a\nnan\n", "row 2 of column 'a'"),
    "more than a number holds": ("a\n1\n-1e400\n", "row 3 of column 'a'"),
    "a row that is short": ("a,b\n1\n", "row 2 has 1 cells"),
    "one name twice": ("a,a\n1,2\n", "name each column once"),
    "nothing": ("", "name each column once"),
    "no end of a quote": ('a\n"SECRET', "Error of the reader"),
}


@pytest.mark.parametrize(("text", "why"), TABLES.values(), ids=list(TABLES))
def test_a_table_of_what_is_no_number_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ArgumentError) as caught:
        files.read(tmp_path / "x.csv")
    assert why in caught.value.why
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"SECRET" * 40, b"PK\x03\x04" + bytes(60)], ids=["empty", "text", "zip"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArgumentError) as caught:
        files.read(tmp_path / name)
    assert "SECRET" not in str(caught.value)


def test_objects_of_python_are_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ArgumentError, match="no file for arrays"):
        files.read(tmp_path / "x.npy")
    np.savez(tmp_path / "x.npz", a=np.array(["text"]))
    with pytest.raises(ArgumentError, match="no file for arrays"):
        files.read(tmp_path / "x.npz")


def test_an_archive_holds_arrays_alone_each_under_a_name(tmp_path: Path) -> None:
    files.write(tmp_path / "x.npz", {"file": ARRAYS["a"], "x": ARRAYS["b"]})  # names that NumPy's own writer refuses
    assert same(files.read(tmp_path / "x.npz"), {"file": ARRAYS["a"], "x": ARRAYS["b"]})
    for other, why in (("README.txt", "no number"), ("x", "one name")):
        shutil.copy(tmp_path / "x.npz", tmp_path / "more.npz")
        with zipfile.ZipFile(tmp_path / "more.npz", "a") as archive:
            archive.writestr(other, "SECRET")
        with pytest.raises(ArgumentError) as caught:
            files.read(tmp_path / "more.npz")
        assert why in caught.value.why


def test_a_format_whose_package_is_missing_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ArgumentError, match="pip install pyarrow"):
        files.read(tmp_path / "x.parquet")
    (tmp_path / "x.txt").write_text("1")
    with pytest.raises(ArgumentError, match="says no format"):
        files.read(tmp_path / "x.txt")


def test_nothing_is_written_over(tmp_path: Path) -> None:
    files.write(tmp_path / "x.npz", ARRAYS)
    for path in (tmp_path / "x.npz", tmp_path / "no" / "x.npz", tmp_path / "x.csv"):
        with pytest.raises(ArgumentError):
            files.writable(path)
    with pytest.raises(ConfigError):
        files.write(tmp_path / "x.npz", ARRAYS)
    with pytest.raises(ArgumentError):
        files.write(tmp_path / "two.npy", ARRAYS)
    with pytest.raises(ConfigError):
        files.read(tmp_path / "missing.csv")
