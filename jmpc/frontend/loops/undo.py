"""A way back in a walk: a body that is walked again, with other types, must leave nothing of the first time.

What goes in: a walker. What comes out: a function that takes from its scope, and from those around it, all that they
have gained since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jmpc.frontend.walk import Walker


def mark(w: Walker) -> Callable[[], None]:
    shared, scopes = w.shared, list(_scopes(w))
    place, missing, warnings = shared.place, dict(shared.missing), dict(shared.warnings)
    lists = [g for s in scopes for g in (s.params, s.sources, s.inputs, s.captures, s.notes, s.decisions, s.loops)]
    lists += [g for s in scopes for g in (s.prelude.steps, s.build.ops)]
    lengths = [len(gained) for gained in lists]
    emitted = [(s, dict(s.emitted), s.build.loc) for s in scopes]

    def back() -> None:
        for gained, length in zip(lists, lengths, strict=True):
            del gained[length:]
        for scope, made, loc in emitted:
            scope.emitted, scope.build.loc = made, loc
        shared.place, shared.missing, shared.warnings = place, missing, warnings

    return back


def _scopes(w: Walker) -> Iterator[Walker]:
    """The walker's scope, and those around it."""
    scope: Walker | None = w
    while scope is not None:
        yield scope
        scope = scope.parent
