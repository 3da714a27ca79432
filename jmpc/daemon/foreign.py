"""What faults and libraries would print by themselves: told as events, where it happened and of which kind, without a
word of it. A message of foreign code may hold anything, a value of a share among it.

In: this process. Out: events, instead of text on its standard output and error. The native code of a library writes
past this file; what a party lets it say is set by its environment (process.py).
"""

from __future__ import annotations

import io
import logging
import sys
import threading
import traceback
import warnings
from types import TracebackType
from typing import TextIO

from jmpc.errors import JMPCError
from jmpc.service.events import Field, Observer


def tell(observer: Observer) -> None:
    """From now on, tell this one."""

    def uncaught(kind: type[BaseException], exc: BaseException | None, tb: TracebackType | None) -> None:
        tell_fault(observer, kind, exc, tb)

    sys.excepthook = uncaught
    sys.unraisablehook = lambda found: uncaught(found.exc_type, found.exc_value, found.exc_traceback)
    threading.excepthook = lambda found: uncaught(found.exc_type, found.exc_value, found.exc_traceback)

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        observer.event("foreign words", kind=category.__name__, where=f"{filename}:{lineno}")

    warnings.showwarning = warned
    logging.root.handlers[:] = [_Handler(observer)]
    sys.stdout = _Nowhere(observer, "standard output")
    sys.stderr = _Nowhere(observer, "standard error")


def tell_fault(
    observer: Observer, kind: type[BaseException], exc: BaseException | None, tb: TracebackType | None
) -> None:
    """One exception. An error of jmpc holds no secret, and is told whole."""
    if isinstance(exc, JMPCError):
        observer.event("fault", fault=kind.__name__, **said_of(exc))
    else:
        observer.event("foreign fault", kind=kind.__name__, where=_place(tb))


def said_of(error: JMPCError) -> dict[str, Field]:
    """An error of jmpc as the fields of an event."""
    return {"what": error.what, "where": str(error.where), "why": error.why, "todo": "; ".join(error.todo)}


def _place(tb: TracebackType | None) -> str:
    """The line where it was raised, and the last line of jmpc before it."""
    innermost = own = ""
    while tb is not None:
        code = tb.tb_frame.f_code
        innermost = f"{code.co_filename}:{tb.tb_lineno} ({code.co_name})"
        if str(tb.tb_frame.f_globals.get("__name__", "")).startswith("jmpc."):
            own = innermost
        tb = tb.tb_next
    return innermost if own in ("", innermost) else f"{innermost}, called from {own}"


class _Handler(logging.Handler):
    def __init__(self, observer: Observer) -> None:
        super().__init__(logging.WARNING)
        self._observer = observer

    def emit(self, record: logging.LogRecord) -> None:
        kind = f"{record.levelname.lower()} of {record.name}"
        self._observer.event("foreign words", kind=kind, where=f"{record.pathname}:{record.lineno}")


class _Nowhere(io.TextIOBase):
    """What is printed goes nowhere; that something was, is told."""

    def __init__(self, observer: Observer, kind: str) -> None:
        self._observer, self._kind = observer, kind

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if text.strip():
            self._observer.event("foreign words", kind=self._kind, where=_caller())
        return len(text)


def _caller() -> str:
    frame = traceback.extract_stack(limit=3)[0]
    return f"{frame.filename}:{frame.lineno}"
