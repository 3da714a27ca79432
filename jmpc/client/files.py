"""Arrays in files: what the command line puts into a cluster, and what it writes of what it got.

In: a path, of which the ending says the format. Out: an array, or arrays by name. Nothing that a file holds is run, and
of what is wrong with one, no value is said: it may be a patient's.
"""

from __future__ import annotations

import csv
import math
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from jmpc.client.tables import columns_of
from jmpc.cluster.faults import file_error
from jmpc.errors import ArgumentError, JMPCError

Arrays = np.ndarray | dict[str | int, np.ndarray]
_NAMES = {"true": True, "false": False}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")


def read(path: Path) -> Arrays:
    """Raises ConfigError for a file that cannot be read, ArgumentError for what is no arrays of numbers."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise _refused(path, "its ending says no format", f"give a file of one of {', '.join(_READERS)}")
    try:
        found = reader(path)
    except OSError as exc:
        raise file_error("the file cannot be read", path, exc) from exc
    except JMPCError:
        raise
    except Exception as exc:  # of a library, whose words may hold what the file does
        raise _refused(path, f"{type(exc).__name__} of the reader of {path.suffix}", "write it again") from exc
    arrays = [found] if isinstance(found, np.ndarray) else list(found.values())
    if not arrays or not all(_holds_numbers(array) for array in arrays):
        raise _refused(path, "it holds no arrays, or some of what is no number", "write numbers and truth values")
    return found


def _holds_numbers(found: object) -> bool:
    """Of an archive NumPy also returns what is no array, as bytes."""
    return isinstance(found, np.ndarray) and cast(np.ndarray, found).dtype.kind in "fiub"


def _npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _npz(path: Path) -> Arrays:
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:  # what is none NumPy takes for something else
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        if len(set(names)) != len(names):
            raise _refused(path, "two of its arrays have one name", "write it again, each under a name of its own")
        with np.load(file, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}


def _safetensors(path: Path) -> Arrays:
    try:
        from safetensors.numpy import load_file  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
    except ImportError as exc:
        raise _lacks(path, "safetensors") from exc
    found: dict[str, np.ndarray] = cast(Any, load_file)(path)
    return dict(sorted(found.items()))


def _parquet(path: Path) -> Arrays:
    try:
        from pyarrow import parquet  # pyright: ignore[reportMissingImports, reportMissingTypeStubs, reportUnknownVariableType]
    except ImportError as exc:
        raise _lacks(path, "pyarrow") from exc
    return columns_of(cast(Any, parquet).read_table(path))


def _csv(path: Path) -> Arrays:
    """The first row names the columns."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file, strict=True))
    if not rows or len(set(rows[0])) != len(rows[0]):
        raise _refused(path, "its first row does not name each column once", "write a row of names first")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            why = f"row {number} has {len(row)} cells, and the first {len(rows[0])}"
            raise _refused(path, why, "write one cell for each column")
    columns = zip(*rows[1:], strict=True) if len(rows) > 1 else [()] * len(rows[0])
    return {name: _column(path, name, cells) for name, cells in zip(rows[0], columns, strict=True)}


def _column(path: Path, name: str, cells: tuple[str, ...]) -> np.ndarray:
    """Truth values, whole numbers or numbers: the first that all cells are."""
    if cells and all(cell.strip().lower() in _NAMES for cell in cells):
        return np.array([_NAMES[cell.strip().lower()] for cell in cells])
    if all(_WHOLE.fullmatch(cell.strip()) for cell in cells):
        return np.array([int(cell) for cell in cells], np.int64)
    for row, cell in enumerate(cells, 2):
        if not _NUMBER.fullmatch(cell.strip()) or not math.isfinite(float(cell)):
            why = f"what stands in row {row} of column {name!r} is no number, or none that a computer holds"
            raise _refused(path, why, "write a number there, or leave the column out")
    return np.array([float(cell) for cell in cells], np.float64)


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".safetensors": _safetensors,
    ".csv": _csv,
    ".parquet": _parquet,
}


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Arrays by name, as .npz or .safetensors; one alone also as .npy. Raises ArgumentError, ConfigError."""
    found = {name: np.asarray(array) for name, array in arrays.items()}
    try:
        match path.suffix.lower():
            case ".npz":
                with path.open("xb") as file, zipfile.ZipFile(file, "w") as archive:
                    for name, array in found.items():
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                            np.lib.format.write_array(member, array, allow_pickle=False)
            case ".npy" if len(found) == 1:
                with path.open("xb") as file:
                    np.save(file, next(iter(found.values())), allow_pickle=False)
            case _:
                raise _refused(path, "results are written as .npz, one array alone also as .npy", "name such a file")
    except OSError as exc:
        raise file_error("the file cannot be written", path, exc) from exc


def writable(path: Path) -> None:
    """Raises before anything is computed, where a result could not be written there."""
    if path.suffix.lower() not in (".npz", ".npy"):
        raise _refused(path, "results are written as .npz, one array alone also as .npy", "name such a file")
    if path.exists() or not path.parent.is_dir():
        what = "it is there already" if path.exists() else "there is no such folder"
        raise _refused(path, what, "name a file that does not exist yet, in a folder that does")


def _refused(path: Path, why: str, todo: str) -> ArgumentError:
    return ArgumentError("this is no file for arrays", where=str(path), why=why, todo=todo)


def _lacks(path: Path, package: str) -> ArgumentError:
    return _refused(path, f"{package}, which reads {path.suffix}, is not installed", f"pip install {package}")
