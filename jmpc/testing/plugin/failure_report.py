"""What the plugin prints of a failure: the program, around the operation that the failure names.

What goes in: the exception of a failed test. What comes out: lines. The program is found in the frames of the
traceback; the line of the user's function in the error, or, where a result is wrong, by a run in check mode, which
compares each operation with plain JAX. Prints no values: a program holds none but its constants.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np

AROUND = 3  # lines of the Share IR on either side
WHOLE = 24  # a program of up to so many lines is printed whole where no operation is known
_FOLDER = re.compile(r'(?<= @ ")[^"]*/')  # in a line of the Share IR
_LINE = re.compile(r"(.+:\d+(?::\d+)?) \(.*\)")


def concerns_jmpc(error: BaseException) -> bool:
    """Whether code of jmpc had a part in a failure."""
    if "jmpc.errors" not in sys.modules:
        return False
    return any(str(frame.f_globals.get("__name__", "")).startswith("jmpc.") for frame in _frames(error))


def program_lines(error: BaseException) -> list[str]:
    """The Share IR around the operation at fault, or nothing where no program is known."""
    if "jmpc.api" not in sys.modules:
        return []
    found = next(_programs(error), None)
    if found is None:
        return []
    name, flow, place = found
    place = _place(error) or place
    lines = flow.as_text("share").splitlines()
    marked = [n for n, line in enumerate(lines) if place and f'@ "{place}' in line]
    if not marked:
        head = f"Share IR of {name} (as_text() prints it; Config(check=True) finds a wrong operation):"
        return [
            head,
            *_indented(lines[:WHOLE]),
            *([f"    ... {len(lines) - WHOLE} more"] if len(lines) > WHOLE else []),
        ]
    first, last = max(marked[0] - AROUND, 0), marked[-1] + AROUND + 1
    shown = [("> " if n in marked else "  ") + lines[n] for n in range(first, min(last, len(lines)))]
    return [f"Share IR of {name} around {place}:", *_indented(shown)]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {_FOLDER.sub('', line)}" for line in lines]


def _place(error: BaseException) -> str:
    """`file:line` or `file:line:column` of the user's function, where an error of jmpc names it."""
    found = _LINE.fullmatch(str(getattr(error, "where", "")))
    return found[1] if found else ""


def _programs(error: BaseException) -> Iterator[tuple[str, Any, str]]:
    """Name, program and place of the secure functions that ran when it failed, the innermost first."""
    from jmpc.api import Compiled, Lowered, Secured

    for frame in reversed(list(_frames(error))):
        called = [frame.f_globals.get(name) for name in frame.f_code.co_names]
        here = [*frame.f_locals.values(), *called]
        for value in here:
            if isinstance(value, Compiled):
                value = value.lowered
            if isinstance(value, Lowered):
                yield value.traced.secured.__name__, value.flow, ""
        for value in here:
            if isinstance(value, Secured) and value._cache:
                yield value.__name__, _ran(value, frame).flow, _wrong_place(value, frame)


def _ran(secured: Any, frame: FrameType) -> Any:
    """What a secure function ran last; in a comparison, with these arguments, since it is kept from one to the next."""
    from jmpc.testing.prepared import lowered_for

    if frame.f_code.co_name == "assert_secure_close":
        return lowered_for(secured, frame.f_locals["args"])
    return list(secured._cache.values())[-1].lowered


def _wrong_place(secured: Any, frame: FrameType) -> str:
    """Where check mode finds the first wrong operation of a comparison that failed."""
    from jmpc import backends
    from jmpc.errors import CheckError, JMPCError

    if frame.f_code.co_name != "assert_secure_close" or "bound" not in frame.f_locals:
        return ""  # no comparison has failed
    bounds = frame.f_locals["bound"] if isinstance(frame.f_locals["bound"], list) else [frame.f_locals["bound"]]
    finest = max(min(float(np.min(bound)) for bound in bounds), 2.0**-60)
    config = dataclasses.replace(secured.config, check=True, tolerance=finest)
    try:
        with backends.use(backends.LOCAL):
            secured.with_config(config)(*frame.f_locals["args"])
    except CheckError as error:
        return _place(error)
    except JMPCError:
        pass  # It fails otherwise in check mode: no place is known then.
    return ""


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The frames of a traceback, of the first error in a group, and of what caused it; outermost first."""
    if isinstance(error, BaseExceptionGroup):
        yield from _frames(error.exceptions[0])
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame
        step = step.tb_next
    if error.__cause__ is not None:
        yield from _frames(error.__cause__)
