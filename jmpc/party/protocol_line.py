"""The line of a protocol at which something happened: in its author's file, not in what it is made of.

What goes in: the calls behind an equation, or behind an error. What comes out: `file:line (function)`, or nothing.
"""

from __future__ import annotations

import itertools
import os
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from jax import errors

from jmpc import _jax
from jmpc.errors import JMPCError, ProgramError

Call = tuple[str, int, str]  # file, line, function
_WORDS = ("exchange", "exchange_with", "mask", "staged")  # what a protocol says to its party
_JMPC = os.path.dirname(_jax.__file__)
_FAMILIES = os.path.join(_JMPC, "families", "")
_BY_VALUE = (
    errors.ConcretizationTypeError,
    errors.NonConcreteBooleanIndexError,
    errors.TracerArrayConversionError,
    errors.TracerIntegerConversionError,
)  # what JAX raises where Python asks for the value of an array that is traced
_CALLERS = (os.path.join(_JMPC, "party", "program.py"), os.path.join(_JMPC, "testing", ""))  # they call protocols


def protocol_line(calls: Sequence[Call]) -> str:
    """calls: the innermost first. The innermost of them that is a protocol's, and where it is one of jmpc's, the line
    of the author's own that called it; of what is further out than the protocol, nothing."""
    inner = itertools.takewhile(lambda call: not call[0].startswith(_CALLERS), calls)
    lines = [call for call in inner if _name(call) not in _WORDS]
    own = [call for call in lines if not _jax.is_library(call[0])]
    every = [call for call in lines if call in own or call[0].startswith(_FAMILIES)]
    said = [f"{call[0]}:{call[1]} ({_name(call)})" for call in dict.fromkeys([*every[:1], *own[:1]])]
    return ", called at ".join(said)


def _name(call: Call) -> str:
    return call[2].rpartition(".")[2]


def line_of_error(error: BaseException) -> str:
    """Where a protocol raised it."""
    found = traceback.extract_tb(error.__traceback__)
    return protocol_line([(f.filename, f.lineno or 0, f.name) for f in reversed(found)])


@contextmanager
def words_for_errors(name: str) -> Generator[None]:
    """An error of JAX or NumPy inside a protocol says which one it was, and where in it."""
    try:
        yield
    except (AssertionError, JMPCError):
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        todo = "a protocol is JAX for one party: check shapes and dtypes of what it holds, sends and expects there"
        if isinstance(error, _BY_VALUE):
            why = f"what it does would depend on a value that the party holds ({why.rstrip('.')})"
            todo = "let shapes and attributes alone decide what is sent, how much and to whom: all parties know these"
        raise ProgramError(
            f"{name}: the protocol raised an error while it was traced",
            where=line_of_error(error),
            why=why,
            todo=todo,
        ) from error
