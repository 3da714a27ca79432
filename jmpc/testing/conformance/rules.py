"""A set of rules, and how one that does not hold is said.

What goes in: functions that raise AssertionError, by what they ask for. What comes out: nothing, or an AssertionError
that names the first rule that does not hold.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from jmpc.errors import ArgumentError

Made = TypeVar("Made")
HANGS_S = 120.0  # who is not back by then, in a rule whose waits all have a deadline, hangs


@dataclass(frozen=True)
class Rules(Generic[Made]):
    """Rules for one kind of thing. checks: by name, a function that takes what the author of such a thing gives."""

    kind: str
    checks: dict[str, Callable[[Made], None]] = field(default_factory=dict[str, Callable[[Made], None]])

    def rule(self, check: Callable[[Made], None]) -> Callable[[Made], None]:
        """Enter a rule; its docstring says in one line what must hold."""
        self.checks[check.__name__] = check
        return check

    def run(self, made: Made, only: Sequence[str] | None = None) -> None:
        """Check all rules, or those that are named. Raises AssertionError; ArgumentError for a name that there
        is not."""
        names = list(self.checks if only is None else only)
        if unknown := [name for name in names if name not in self.checks]:
            raise ArgumentError(
                f"no rule of {self.kind} is {unknown[0]!r}", todo=f"name some of {', '.join(self.checks)}"
            )
        for name in names:
            check = self.checks[name]
            try:
                check(made)
            except Exception as fault:
                what = (check.__doc__ or "").partition("\n")[0]
                raise AssertionError(
                    f"not what {self.kind} must do: {name}\n  rule: {what}\n  {type(fault).__name__}: {fault}"
                ) from fault


def together(tasks: Sequence[Callable[[], object]]) -> list[object]:
    """Run all tasks at once, each in a thread; a task that raised gives its exception. Raises AssertionError where one
    hangs."""
    ends: list[object] = [AssertionError("a party hangs")] * len(tasks)

    def guarded(n: int, task: Callable[[], object]) -> None:
        try:
            ends[n] = task()
        except Exception as error:
            ends[n] = error

    threads = [threading.Thread(target=guarded, args=one, daemon=True) for one in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS_S)
    if any(thread.is_alive() for thread in threads):
        raise AssertionError("a party hangs")
    return ends
