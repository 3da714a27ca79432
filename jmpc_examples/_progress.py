"""Progress on the screen: a bar on a terminal, one plain line elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

T = TypeVar("T")
CONSOLE = Console(highlight=False, soft_wrap=True)


def say(line: str = "") -> None:
    CONSOLE.print(line, markup=False)


def heading(line: str) -> None:
    say()
    CONSOLE.print(line, style="bold", markup=False)


def track(items: Sequence[T] | range, what: str) -> Iterable[T]:
    """The items, with progress."""
    if CONSOLE.is_terminal:
        return _bar(items, what)
    say(f"{what} ...")
    return items  # pyright: ignore[reportReturnType]


def _bar(items: Sequence[T] | range, what: str) -> Iterator[T]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=CONSOLE) as progress:
        yield from progress.track(items, description=what)  # pyright: ignore[reportReturnType]
