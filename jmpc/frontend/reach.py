"""Which arrays a function can reach from outside itself: what it closes over, names as a global, or holds.

What goes in: the function, and what else it is given that is no argument. What comes out: the arrays that existed
before it ran, each with the name that its user knows it by. What cannot be followed is named rather than left out: a
file, an object that turns into an array. Not here: which of them a program uses (`captured.py`).
"""

from __future__ import annotations

import array
import functools
import gc
import io
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jax import export

from jmpc import _jax
from jmpc.frontend.words import is_called_public

LIBRARIES = {"jax", "jaxlib", "jmpc", "numpy", *sys.stdlib_module_names} - {"__main__"}
MOST_OBJECTS = 200_000
SOLID = (str, int, float, complex, bool, type(None), np.generic, types.CodeType, np.dtype, types.FrameType)
BYTES = (bytes, bytearray, memoryview, array.array)
Found = Iterator[tuple[Any, str]]


@dataclass(frozen=True, eq=False)
class Reached:
    """An array, or what may become one. size: its elements; None where only reading it would tell."""

    object: Any = field(repr=False)
    name: str
    size: int | None
    public: bool = False

    @functools.cached_property
    def host(self) -> np.ndarray | None:
        """Its elements, where it is an array of numbers."""
        if not isinstance(self.object, np.ndarray) and not hasattr(type(self.object), "__array__"):
            return None
        try:
            return np.asarray(self.object)
        except Exception:  # a typed key, or an object that will not be read
            return None


class Reach:
    """arrays: what the roots lead to. complete: whether all of it was looked at."""

    def __init__(self, roots: Mapping[str, Any]) -> None:
        self.arrays: list[Reached] = []
        self._seen: dict[Any, Any] = {}
        self._queue: deque[tuple[Any, str, frozenset[str]]] = deque()
        for name, root in roots.items():
            self._push(root, name)
        while self._queue and len(self._seen) < MOST_OBJECTS:
            self._visit(*self._queue.popleft())
        self.complete = not self._queue
        self._seen.clear()

    def _push(self, x: Any, name: str, names: frozenset[str] = frozenset()) -> None:
        """names: what the code that reaches it may ask of it, if it is a module."""
        key = (id(x), names) if isinstance(x, types.ModuleType) else id(x)
        if isinstance(x, SOLID) or key in self._seen:
            return
        self._seen[key] = x
        self._queue.append((x, name, names))

    def _visit(self, x: Any, name: str, names: frozenset[str]) -> None:
        if isinstance(x, types.ModuleType):
            for found, where in _of_module(x, names):
                self._push(found, where, names)
            return
        if isinstance(x, types.FunctionType):
            asked = _names_in(x.__code__)
            for found, where in _of_function(x, asked):
                self._push(found, where, asked)
            return
        try:
            known, parts = as_array(x, name), list(_of_object(x, name))
        except Exception:  # an object of the user's that does not let itself be looked at
            known, parts = Reached(x, name, None), []
        if known is not None:
            self.arrays.append(known)
            return
        for found, where in parts:
            self._push(found, where)


def as_array(x: Any, name: str) -> Reached | None:
    if _jax.is_traced(x):
        return None
    if isinstance(x, BYTES):
        return Reached(x, name, len(x))
    if isinstance(x, io.IOBase):
        return Reached(x, name, None)
    if isinstance(x, list | tuple | set | frozenset | deque) and (count := _numbers(x)):
        return Reached(x, name, count)
    if isinstance(x, np.ndarray) or (hasattr(type(x), "__array__") and not _is_ours(x)):
        size = getattr(x, "size", None)
        return Reached(x, name, size if isinstance(size, int) else None, is_called_public(x))
    return None


def _is_ours(x: Any) -> bool:
    return _package(type(x)) == "jmpc"


def _numbers(x: Any, depth: int = 0) -> int:
    """How many numbers a nest of lists holds; 0 if it holds anything else."""
    total = 0
    for item in x:
        if isinstance(item, int | float | complex | np.generic):
            total += 1
        elif isinstance(item, list | tuple) and depth < 32 and (count := _numbers(item, depth + 1)):
            total += count
        else:
            return 0
    return total


def _package(x: Any) -> str:
    return str(getattr(x, "__module__", None) or "").split(".")[0]


def _names_in(code: types.CodeType) -> frozenset[str]:
    """The globals and attributes that a function, and the functions in it, may ask for."""
    names = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            names |= _names_in(const)
    return frozenset(names)


def _of_module(module: types.ModuleType, names: frozenset[str]) -> Found:
    if module.__name__.split(".")[0] in LIBRARIES:
        return
    for name in sorted(names & vars(module).keys()):
        yield vars(module)[name], f"{module.__name__}.{name}"


def _of_function(function: types.FunctionType, names: frozenset[str]) -> Found:
    """Of a library's function only what a user put into it."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield cell.cell_contents, name
        except ValueError:  # not filled yet
            continue
    defaults = function.__defaults__ or ()
    arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
    yield from zip(defaults, arguments[len(arguments) - len(defaults) :], strict=True)
    yield from ((value, name) for name, value in (function.__kwdefaults__ or {}).items())
    yield from ((value, f"{function.__name__}.{name}") for name, value in vars(function).items())
    if _package(function) in LIBRARIES:
        return
    for name in sorted(names):
        if name in function.__globals__:
            yield function.__globals__[name], name
        elif name in sys.modules:  # imported inside the function
            yield sys.modules[name], name


def _of_object(x: Any, name: str) -> Found:
    if isinstance(x, functools.partial):
        yield x.func, name
        yield from ((value, f"argument {n} of the partial {name}") for n, value in enumerate(x.args))
        yield from ((value, key) for key, value in x.keywords.items())
    elif isinstance(x, types.MethodType):
        yield x.__func__, name
        yield x.__self__, "self"
    elif isinstance(x, weakref.ref):
        yield x(), name
    elif isinstance(x, Mapping):
        yield from ((value, f"{name}[{key!r}]") for key, value in list(x.items()))
    elif isinstance(x, list | tuple | set | frozenset | deque):
        yield from ((value, f"{name}[{n}]") for n, value in enumerate(x))
    elif isinstance(x, type):
        if _package(x) not in LIBRARIES:
            yield from ((value, f"{x.__name__}.{key}") for key, value in vars(x).items() if key != "__dict__")
            yield from ((base, base.__name__) for base in x.__bases__)
    else:
        yield from _of_instance(x, name)


def _of_instance(x: Any, name: str) -> Found:
    """Its attributes; of other people's objects all that the collector knows, of JAX's only what was put in."""
    wrapped = getattr(x, "__wrapped__", None)
    if wrapped is not None:
        yield wrapped, name
    if _is_ours(x) or isinstance(x, export.Exported):  # the constants of these are judged where they are used
        return
    attributes = getattr(x, "__dict__", None)
    held = attributes if isinstance(attributes, Mapping) else {}
    yield from ((value, f"{name}.{key}") for key, value in list(held.items()))
    if _package(type(x)) in ("jax", "jaxlib", "numpy"):
        return
    yield type(x), type(x).__name__
    yield from ((found, name) for found in gc.get_referents(x) if found is not attributes)
