"""Secure functions kept from one example to the next: a property that draws a hundred arguments, or makes them smaller
until it has the smallest that fail, lowers and compiles its function once for each set of shapes.

What goes in: a function and options of `jmpc.secure`. What comes out: the secure function that it had before, as long
as function and options are the same. As under `jax.jit`, what a function reads of its surroundings is read once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jmpc.api import Lowered, Secured, secure

MOST = 8  # functions of one test, or of one module of tests
_kept: OrderedDict[Any, tuple[Callable[..., Any], Secured]] = OrderedDict()


def secured_once(function: Callable[..., Any], options: Mapping[str, Any]) -> Secured:
    """`jmpc.secure(function, **options)`, made once."""
    try:
        key = id(function), _frozen(options)
        hash(key)
    except TypeError:
        return secure(function, **options)
    if key not in _kept:
        _kept[key] = function, secure(function, **options)  # the function is held, so that no other gets its id
    _kept.move_to_end(key)
    while len(_kept) > MOST:
        _kept.popitem(last=False)
    return _kept[key][1]


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return tuple((key, _frozen(one)) for key, one in sorted(value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def lowered_for(secured: Secured, args: Sequence[Any]) -> Lowered:
    """What a call with these arguments runs, or would run."""
    call = secured.bind(tuple(args), {})
    call.arrays()
    found = secured._cache.get(call.key())
    return found.lowered if found else secured._trace(call).lower()
