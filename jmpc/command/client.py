"""`jmpc client`: values that are stored at a cluster, as one of its clients puts them and takes them back.

In: arguments. Out: what was done, printed. What is done is in `jmpc.client`, which takes JAX and is imported where it
is needed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jmpc.command.printing import JSON_FLAG, print_result
from jmpc.command.program_tables import plain
from jmpc.errors import ConfigError
from jmpc.sizes import size_text

if TYPE_CHECKING:
    from jmpc.client.cluster import Cluster
    from jmpc.client.values import Entry

app = typer.Typer(help="Put values into a cluster, and take results out, as one of its clients.")
As = Annotated[str, typer.Option("--as", metavar="NAME", help="Who asks: a client's name, or the folder of its key.")]
Where = Annotated[Path, typer.Option("--cluster", help="`cluster.toml`, or its folder.")]
Json = Annotated[bool, typer.Option(JSON_FLAG, help="Print one JSON object.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the value.")]
Days = Annotated[float | None, typer.Option("--days", help="For how long it is kept; for good if left out.")]
HERE = Path("cluster.toml")
MOST_PRINTED = 1000  # numbers


@app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@contextmanager
def connected(cluster: Path, name: str) -> Generator[Cluster]:
    """The cluster, as one of its clients."""
    from jmpc.client.cluster import connect

    here = connect(cluster, who(name))
    try:
        yield here
    finally:
        here.close()


def who(name: str) -> str:
    if not name:
        raise ConfigError("it is not said who asks", where="--as", todo="give --as NAME")
    return name


@app.command("list")
def list_values(name: As = "", cluster: Where = HERE, as_json: Json = False) -> None:
    """List all values of the cluster."""
    with connected(cluster, name) as here:
        entries = here.list()
    rows = [["name", "owner", "version", "bytes", "until", ""], *map(_row, entries)]
    wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(f"{cell:{w}}" for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows]
    text = "\n".join(lines) if entries else "no value is stored"
    print_result(as_json, text, {"values": [_fields(entry) for entry in entries]})


@app.command()
def put(
    value: Name,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="`.npz`, `.npy`, `.safetensors`, `.csv`, or `.parquet`.")
    ],
    program: Annotated[
        list[str] | None, typer.Option(help="A program that may read it: its hash, or the file of its text. Repeat it.")
    ] = None,
    days: Days = None,
    name: As = "",
    cluster: Where = HERE,
    as_json: Json = False,
) -> None:
    """Share the arrays of a file among the parties. What is there under the name, if it is yours, is replaced."""
    from jmpc.client import files

    programs, tree = [hash_of(which) for which in program or []], files.read(file)
    with connected(cluster, name) as here:
        entry = here.put(tree, value, programs=programs, expires=period(days))
    arrays = ", ".join(f"{path or 'one array'} {dtype}{list(shape)}" for path, (shape, dtype) in entry.shapes.items())
    print_result(as_json, f"{plain(value)} is stored, version {entry.version}: {arrays}", {"value": _fields(entry)})


@app.command()
def get(
    value: Name,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A new `.npz`; else it is printed.")] = None,
    name: As = "",
    cluster: Where = HERE,
    as_json: Json = False,
) -> None:
    """Take a result that was left for you."""
    from jmpc.client import files
    from jmpc.client.trees import paths_of

    if file is not None:
        files.writable(file)
    with connected(cluster, name) as here:
        tree = here.get(value)
    leaves: list[Any] = _leaves(tree)
    told(as_json, dict(zip(paths_of(tree), leaves, strict=True)), file, {"name": value})


def told(as_json: bool, arrays: Mapping[str, Any], file: Path | None, fields: Mapping[str, object]) -> None:
    """Print arrays by path, or where they were written."""
    import numpy as np

    from jmpc.client import files

    found = {path or "result": np.asarray(array) for path, array in arrays.items()}
    shapes = {path: {"shape": list(array.shape), "dtype": str(array.dtype)} for path, array in found.items()}
    lines = [f"{plain(path)}: {array.dtype}{list(array.shape)}" for path, array in found.items()]
    said: dict[str, object] = {**fields, "arrays": shapes}
    if file is not None:
        files.write(file, found)
        print_result(as_json, "\n".join([*lines, f"written to {file}"]), {**said, "file": str(file)})
        return
    if sum(array.size for array in found.values()) > MOST_PRINTED:
        raise ConfigError(
            "the result is too long to print", where="FILE", why="; ".join(lines), todo="give a file to write it to"
        )
    values = {path: _plain_values(array) for path, array in found.items()}
    text = [line + (f" {values[path]}" if found[path].size else "") for path, line in zip(found, lines, strict=True)]
    print_result(as_json, "\n".join(text), {**said, "values": values})


def _plain_values(array: Any) -> Any:
    return array.tolist() if array.dtype.kind != "c" else [array.real.tolist(), array.imag.tolist()]


def _leaves(tree: Any) -> list[Any]:
    import jax

    return jax.tree.leaves(tree)


@app.command()
def delete(value: Name, name: As = "", cluster: Where = HERE, as_json: Json = False) -> None:
    """Destroy a value at all parties."""
    _done(cluster, name, value, lambda here: here.delete(value), "is deleted", as_json)


@app.command()
def expire(value: Name, days: Days = None, name: As = "", cluster: Where = HERE, as_json: Json = False) -> None:
    """Have a value destroyed after so many days; without `--days`, never."""
    said = "is kept for good" if days is None else f"goes in {days:g} days"
    _done(cluster, name, value, lambda here: here.expire(value, period(days)), said, as_json)


@app.command()
def consent(
    value: Name,
    program: Annotated[str, typer.Argument(metavar="PROGRAM", help="Its hash, or the file of its text.")],
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take it back.")] = False,
    name: As = "",
    cluster: Where = HERE,
    as_json: Json = False,
) -> None:
    """Let a program read what is yours of a value, also where you have no part in the call. Look at it first: `jmpc
    inspect`."""
    found = hash_of(program)

    def change(here: Cluster) -> None:
        (here.withdraw if withdraw else here.consent)(value, found)

    said = f"{'may not' if withdraw else 'may'} be read by {found}"
    _done(cluster, name, value, change, said, as_json, program=found)


def _done(
    cluster: Path, name: str, value: str, change: Callable[[Cluster], None], said: str, as_json: bool, **fields: str
) -> None:
    with connected(cluster, name) as here:
        change(here)
    print_result(as_json, f"{plain(value)} {said}", {"name": value, **fields})


def hash_of(which: str) -> str:
    """Of a program: the hash itself, or that of a file's text."""
    from jmpc.client.backend import program_hash

    if Path(which).is_file():
        from jmpc.command.programs import text_of

        return text_of(which)[0]
    return program_hash(which)


def period(days: float | None) -> dt.timedelta | None:
    """For how long a value is kept."""
    try:
        return None if days is None else dt.timedelta(days=days)
    except (OverflowError, ValueError):
        raise typer.BadParameter("so long nothing is kept", param_hint="--days") from None


def _row(entry: Entry) -> list[str]:
    until = "for good" if entry.expires is None else f"{entry.expires:%Y-%m-%d %H:%M} UTC"
    notes = [f"waits for {', '.join(entry.receivers)}"] if entry.receivers else []
    notes += [f"read by {len(programs)} of {owner}'s" for owner, programs in entry.consents.items()]
    notes += [f"party {party} lacks it" for party in entry.missing]
    sizes = [size for size in entry.bytes if size is not None]
    cells = [entry.name, entry.owner, str(entry.version), size_text(max(sizes, default=0)), until, "; ".join(notes)]
    return [plain(cell) for cell in cells]


def _fields(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "owner": entry.owner,
        "version": entry.version,
        "created": entry.created.isoformat(),
        "expires": None if entry.expires is None else entry.expires.isoformat(),
        "bytes": list(entry.bytes),
        "consents": {owner: list(programs) for owner, programs in entry.consents.items()},
        "receivers": list(entry.receivers),
        "arrays": {path: {"shape": list(shape), "dtype": dtype} for path, (shape, dtype) in entry.shapes.items()},
    }
