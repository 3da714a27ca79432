"""A model in place of a function: a pytree that can be called, as Equinox and Flax NNX make them, or a method of one.

What goes in: what the user secures. What comes out: a plain function whose first argument is the model, and the model:
its arrays are an argument, with an owner, and no part of the program.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax

from jmpc.leaves import is_array, is_module


@dataclass(frozen=True)
class Method:
    """A function of a model and what it is called with.  model: in a tuple of one; empty where `function` is just a
    function."""

    function: Callable[..., Any] = field(repr=False)
    model: tuple[Any, ...] = field(default=(), repr=False)


def as_method(target: Any) -> Method:
    """`target` as a function, and the model that its calls put in front."""
    model, function = target, None
    if isinstance(target, types.MethodType):
        model, function = target.__self__, target.__func__
    if not is_module(model) or not any(map(is_array, jax.tree.leaves(model))):
        return Method(target)
    return Method(_called(target, model, function), (model,))


def _called(target: Any, model: Any, function: Callable[..., Any] | None) -> Callable[..., Any]:
    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self(*args, **kwargs) if function is None else function(self, *args, **kwargs)

    rest = list(inspect.signature(target).parameters.values())
    name = _first_argument(function or type(model).__call__, {p.name for p in rest})
    first = inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY)
    if rest and rest[0].kind is not inspect.Parameter.POSITIONAL_ONLY:
        first = first.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
    call.__name__ = getattr(target, "__name__", type(model).__name__)
    call.__doc__ = getattr(target, "__doc__", None)
    call.__signature__ = inspect.Signature([first, *rest])  # pyright: ignore[reportFunctionMemberAccess]
    return call


def _first_argument(method: Any, taken: set[str]) -> str:
    """The name that the class gives the model: `self`, nearly always."""
    try:
        name = next(iter(inspect.signature(method).parameters), "self")
    except (TypeError, ValueError):
        name = "self"
    while name in taken:
        name += "_"
    return name
