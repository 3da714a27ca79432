"""An op of your own as a value: a function of JAX, and all that was said of it.

What goes in: what `declare.protocol` collected. What comes out: an `Operation`. In plain JAX it computes its plain
meaning; the equation that it leaves in a jaxpr is what the front end reads (`frontend/rules/extend.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jmpc import _jax, _typed
from jmpc._types import Array
from jmpc.config import Config
from jmpc.errors import ArgumentError, BoundError, UnsupportedError
from jmpc.extend.operands import Choice, Gives, Range, Takes, Uniform
from jmpc.families.protocol import CostRule, Run
from jmpc.ir.ops.record import Frame, Origin
from jmpc.ir.program import Op
from jmpc.ir.types import BOOL, FIXED, INT, Type

Shape = tuple[int, ...]
Attrs = Mapping[str, Any]
DTYPES = {FIXED: jnp.floating, INT: jnp.integer, BOOL: jnp.bool_}
NAMES = {FIXED: "real numbers", INT: "integers", BOOL: "bools"}


@dataclass(frozen=True, eq=False, repr=False)
class Operation:
    """run: the protocol, which other protocols may call.

    plain: what it computes, in JAX: of (*arrays, **attrs). Without it, it is an op of shares alone, for lowerings and
        other protocols.
    reference: what its results are in units of 2^-scale, integers or bools, in NumPy: of (ring, *values, **attrs).
    error: how many units a result may be off.  cost: the rounds, and the bytes of each party, that the protocol is said
        to take: of (types, attrs, config); the checks compare it with what they count.
    shape: of the results: of (shapes of the operands, attrs). Without it, the op is elementwise.
    at: of an op that is not elementwise, shapes of operands for the checks: of (any shape, attrs). For exact
        enumeration, each element of that shape must be a use of the op by itself.
    opens: what it shows all parties that no mask hides, and why that says nothing.
    origin: the module that declares it, and a digest of its code.  where: file and line."""

    name: str
    family: str
    takes: tuple[Takes, ...]
    gives: tuple[Gives, ...]
    attrs: Mapping[str, Range | Choice]
    run: Run
    plain: Callable[..., Any] | None
    reference: Callable[..., Any] | None
    cost: CostRule | None
    error: int
    shape: Callable[[Sequence[Shape], Attrs], Shape] | None
    at: Callable[[Shape, Attrs], Sequence[Shape]] | None
    source: str
    opens: str
    origin: Origin
    where: str
    doc: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"<op {self.name} of the module {self.origin.module}, family {self.family}>"

    @property
    def elementwise(self) -> bool:
        return self.shape is None

    def __call__(self, *arrays: ArrayLike, **attrs: Any) -> Any:
        """The plain meaning of the op; in a secure function, the op. Raises ArgumentError."""
        if self.plain is None:
            raise self._wrong("it has no plain meaning", "call it in a protocol or a lowering: it is an op of shares")
        if len(arrays) != len(self.takes):
            raise self._wrong(f"it takes {len(self.takes)} arrays, and got {len(arrays)}", "give each operand")
        if attrs.keys() != self.attrs.keys():
            names = ", ".join(self.attrs) or "none"
            raise self._wrong(f"its attributes are {names}; got {', '.join(attrs) or 'none'}", "give each by its name")
        found = [self._operand(n, x) for n, x in enumerate(arrays)]
        found = list(jnp.broadcast_arrays(*found)) if self.elementwise and found else found
        made = _typed.bind(operation_p, *found, operation=self, attrs=tuple(sorted(attrs.items())))
        return made[0] if len(self.gives) == 1 else tuple(made)

    def _operand(self, n: int, x: Any) -> Array:
        array, kinds = _typed.asarray(x), self.takes[n].kinds
        if not any(jnp.issubdtype(array.dtype, DTYPES[kind]) for kind in kinds):
            wanted = " or ".join(NAMES[k] for k in kinds)
            raise self._wrong(f"operand {n} is {array.dtype}", f"give {wanted}: cast it with astype")
        return array

    def _wrong(self, what: str, todo: str) -> ArgumentError:
        return ArgumentError(f"{self.name}: {what}", where=f"the op of {self.where}", todo=todo)

    # --- what the record says

    def infer(self, types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
        """The types of the results. Raises BoundError where an operand may leave its range."""
        for n, (t, takes) in enumerate(zip(types, self.takes, strict=True)):
            most = takes.limit(t.scale, t.kind, attrs, config)
            if t.limit > most:
                one, what = 2 ** takes.point(t.scale), "numbers" if takes.point(t.scale) == t.scale else "ring elements"
                raise BoundError(
                    f"{self.name}: operand {n} may be as large as {t.limit / one:.6g}",
                    where=f"the op of {self.where}",
                    why=f"it takes {what} of at most {most / one:.6g} in magnitude",
                    todo="declare a smaller bound: jmpc.bounded(x, limit)",
                )
        shape = self.result_shape([t.shape for t in types], attrs)
        return tuple(result.as_result(shape, types, attrs, config) for result in map(told_of, self.gives))

    def result_shape(self, shapes: Sequence[Shape], attrs: Attrs) -> Shape:
        if self.shape is not None:
            return tuple(self.shape(shapes, attrs))
        if len(set(shapes)) > 1:
            raise ValueError(f"{self.name}: operands of the shapes {', '.join(map(str, shapes))}")
        return shapes[0] if shapes else ()

    def means(self, frame: Frame, op: Op, *arrays: np.ndarray) -> list[Any]:
        """For the interpreter: integers in ring units by the reference, real numbers by the plain function. What is
        random is nobody's to compare with, and 0 here."""
        plain = frame.exact and self.plain is not None
        rule = self.plain if plain else self.reference
        whole = [t.kind == INT for t in (v.type for v in op.inputs)]
        held = [_as_integers(x) if w else x for x, w in zip(arrays, whole, strict=True)]
        made = as_list(rule(*([] if plain else [frame.ring]), *held, **op.attrs)) if rule is not None else []
        told = iter(made)
        return [
            np.zeros(v.shape) if isinstance(g, Uniform) else np.asarray(next(told))
            for g, v in zip(self.gives, op.outputs, strict=True)
        ]


def _as_integers(x: np.ndarray) -> np.ndarray:
    """Where real numbers are exact, integers come as float64, in which the largest is rounded up to 2^63."""
    return (np.minimum(x, np.nextafter(2.0**63, 0)) if x.dtype.kind == "f" else x).astype(np.int64)


def told_of(result: Gives) -> Takes:
    return result.of if isinstance(result, Uniform) else result


def as_list(found: Any) -> list[Any]:
    return list(cast("Sequence[Any]", found)) if isinstance(found, list | tuple) else [found]


# --- the equation


def _meaning(*arrays: Array, operation: Operation, attrs: tuple[tuple[str, Any], ...]) -> list[Array]:
    assert operation.plain is not None
    return [_typed.asarray(x) for x in as_list(operation.plain(*arrays, **dict(attrs)))]


def _batched(args: Sequence[Array], dims: Sequence[int | None], *, operation: Operation, attrs: Any) -> Any:
    if not operation.elementwise:
        raise UnsupportedError(
            f"{operation.name} has no form under jax.vmap",
            where=f"the op of {operation.where}",
            why="it is not elementwise, and nothing says what a further axis means to it",
            todo="call it with jax.lax.map, or let the op take the axis",
        )
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    whole = [
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    ]
    made = _typed.bind(operation_p, *whole, operation=operation, attrs=attrs)
    return made, [0] * len(made)


def _refuse_gradient(*, operation: Operation, attrs: Any) -> None:
    raise UnsupportedError(
        f"{operation.name} has no gradient",
        where=f"the op of {operation.where}",
        why="a protocol does not say what the derivative of its op is",
        todo="call it in a function with jax.custom_jvp or jax.custom_vjp, which says it",
    )


operation_p = _jax.define_with_meaning(_jax.OPERATION, _meaning, _batched, _refuse_gradient)
