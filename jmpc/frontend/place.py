"""Where in a user's program the compiler stands, for messages.

What goes in: equations, as they are walked. What comes out: the primitive, the line that made it, which may be a
library's, and the line of the user's own that led there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jax

from jmpc import _jax


@dataclass(frozen=True, eq=False)
class Place:
    """An equation, and the one whose body it is in; around all of them the call that had the function traced. Lines are
    looked up when they are asked for: most never are."""

    eqn: Any = field(default=None, repr=False)
    around: Place | None = None
    call: str = ""

    def of(self, eqn: Any) -> Place:
        """Where an equation stands that is found here."""
        return Place(eqn, self)

    @cached_property
    def op(self) -> str:
        if self.eqn is None:
            return ""
        name = self.eqn.primitive.name
        return str(self.eqn.params.get("name", name)) if name in ("jit", "pjit") else _jax.name_of(self.eqn)

    @cached_property
    def loc(self) -> str:
        """`file:line:column (function)` of the innermost line outside JAX that is known."""
        found = "" if self.eqn is None else _jax.where(self.eqn)
        return found or (self.around.loc if self.around is not None else self.call)

    @cached_property
    def user(self) -> str:
        """`file:line (function)` of the innermost line outside every library that is known."""
        found = "" if self.eqn is None else _jax.users_line(self.eqn)
        return found or (self.around.user if self.around is not None else self.call)

    @cached_property
    def is_of_jax(self) -> bool:
        """Whether a function of JAX asks for it by itself. One that chooses as it is told (`where`) does not."""
        found = None if self.eqn is None else _is_own(self.eqn)
        return found if found is not None else self.around is not None and self.around.is_of_jax

    def __str__(self) -> str:
        """The user's own line, and the library's where that is another."""
        line = self.user.rsplit(" (", 1)[0]
        return self.loc if not line or self.loc.startswith(f"{line}:") else f"{self.user}, in {self.loc}"


# Where JAX keeps functions that are written in its primitives, and of these the ones that do as they are told.
_FUNCTIONS = tuple(
    os.path.join(os.path.dirname(jax.__file__), "_src", *path)
    for path in (("numpy", ""), ("scipy", ""), ("nn", ""), ("ops", ""), ("image", ""), ("lax", "linalg.py"),
                 ("lax", "special.py"), ("random.py",), ("random", ""))
)  # fmt: skip
_TOLD = ("where", "_where", "select", "piecewise", "_piecewise", "vectorize", "_apply_excluded", "apply_along_axis")


def _is_own(eqn: Any) -> bool | None:
    """Whether an equation is of a function of JAX, and not of what calls that; one that does as it is told does not
    count. None where the frames end before: inside of a jitted function they begin with it."""
    if eqn.source_info.traceback is None:
        return None
    for frame in eqn.source_info.traceback.frames:
        if not frame.file_name.startswith(os.path.dirname(jax.__file__) + os.sep):
            return False
        if frame.file_name.startswith(_FUNCTIONS) and frame.function_name.split(".")[0] not in _TOLD:
            return True
    return None
