"""Check mode: the results of the program that ships beside those of plain JAX, and what is at fault where they differ.

What goes in: a lowered function, a call, and what the program made of it. What comes out: nothing, or a CheckError.

Results are compared, not the values between them: for those a program would have to give them away, and a program that
does is another one (a pass leaves alone what is read once more). Only once a result is wrong, that other program runs,
to find the first operation whose value differs. Where each is right there, the operations are, and what the compiler
made of them together is not. Bounds need no secure run: whether a value may pass one is a matter of what the value
should be, which plain JAX says, while a value that has passed it is wrapped already, and says nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jmpc.check import advice
from jmpc.check.plain import Met, Plain, numbers, opened, plain_run
from jmpc.compiler import Flow, pass_by_pass, with_notes
from jmpc.config import Config
from jmpc.errors import CheckError, ConfigError, JMPCError
from jmpc.frontend import kinds
from jmpc.frontend.fixed_point.saturation import message
from jmpc.frontend.lower import Frontier
from jmpc.handle import SecretArray
from jmpc.ir import ops
from jmpc.ir.types import BOOL, INT

Again = Callable[[Flow], tuple[list[Any], list[Any]]]
Under = Callable[[Config], list[Any]]
IN_PROCESS = ("local", "simulated")
MOST_NAMED = 5
RUNS = 3


def refuse_unless_comparable(backend: str, frontier: Frontier) -> None:
    """Raises ConfigError."""
    if backend not in IN_PROCESS:
        raise ConfigError(
            "check mode runs in this process only",
            where="Config.check",
            why="it opens results, and where one is wrong every value, to compare them with plaintext",
            todo="make the call outside jmpc.processes() and clusters, or turn check off",
        )
    if frontier.draws:
        raise ConfigError(
            "check mode cannot compare a function that draws with jmpc.random",
            where="Config.check",
            why="what the parties draw together nobody knows, so that there is nothing to compare results with",
            todo="check the function with what it draws as an argument, or turn check off",
        )


def verify(lowered: Any, call: Any, results: Sequence[Any], again: Again, under: Under) -> None:
    """results: the leaves, as the caller gets them. again: runs another program on the same inputs; what it opens, and
    the leaves of its results. under: the leaves of the results under other settings. Raises CheckError."""
    check = _Check(lowered, plain_run(lowered, call), again, under)
    errors = check.errors(results)
    if check.wrong(errors):
        check.raise_wrong(errors)
    check.raise_broken()


def verify_bounds(lowered: Any, call: Any, under: Under) -> None:
    """Of results that agree with plaintext, whether they rest on bounds that do not hold. The program itself does not
    run. under: as above; it runs where a bound is passed, to see which settings help. Raises CheckError."""

    def never(flow: Flow) -> tuple[list[Any], list[Any]]:
        raise AssertionError("bounds are judged by plaintext alone")

    _Check(lowered, plain_run(lowered, call), never, under).raise_broken()


class _Check:
    """One comparison. results: those of plain JAX.  met: of the notes of values that results depend on.  passed: the
    values that pass a bound, in order."""

    def __init__(self, lowered: Any, plain: Plain, again: Again, under: Under) -> None:
        self.flow: Flow = lowered.flow
        self.traced, self.results, self.again, self.under = lowered.traced, plain.results, again, under
        self.name, self.config = self.traced.secured.__name__, self.flow.config
        self.met = [m for m in plain.met if m.note.value in self.flow.read]
        self.passed = [m for m in self.met if _passes(m, self.config)]

    def errors(self, results: Sequence[Any]) -> list[float]:
        """How far each result is off. Of a random key, which is never secret, nothing is asked."""
        pairs = zip(results, self.results, strict=True)
        return [distance(_array(got), np.asarray(p)) if _is_number(p) else 0.0 for got, p in pairs]

    def wrong(self, errors: Sequence[float]) -> bool:
        return not all(error <= self.config.tolerance for error in errors)

    def tried(self, config: Config) -> float:
        """How far results are off under other settings, at worst of some runs: roundings differ by the run. 0 where
        nobody may try: a handle is in its own format, and what prints would print again."""
        if self.traced.jaxpr.effects or any(leaf.stored for leaf in self.traced.call.leaves):
            return 0.0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return max(error for _ in range(RUNS) for error in (0.0, *self.errors(self.under(config))))
        except JMPCError:
            return np.inf

    def told(self, passed: Sequence[Met]) -> str:
        named = [f"{m.note.name}: a value passed its {m.note.value.type.origin} bound at {m.note.loc}" for m in passed]
        named = list(dict.fromkeys(named))
        more = [f"and {len(named) - MOST_NAMED} more"] if len(named) > MOST_NAMED else []
        return "; ".join([*named[:MOST_NAMED], *more])

    def error(self, what: str, where: str, why: str, todo: list[str]) -> CheckError:
        return CheckError(f"{self.name}: {what}", where=where, why=why, todo=todo)

    # --- no result is wrong

    def raise_broken(self) -> None:
        """Of a bound that a value passes, unless it only stands for what is beyond the format."""
        broken = [m for m in self.passed if not advice.saturates(m)]
        if broken:
            first = broken[0]
            raise self.error(
                f"{first.note.name}: a value passes its {first.note.value.type.origin} bound",
                first.note.loc,
                f"the results agree with plaintext here, but rest on bounds that do not hold: {self.told(broken)}",
                advice.for_bound(first, self.met, self.config, self.name, self.tried),
            )

    # --- a result is wrong

    def raise_wrong(self, errors: list[float]) -> None:
        self._raise_constant(errors)
        noted = with_notes(self.flow)
        found, results = self.again(noted)
        values = found[len(found) - len(self.flow.notes) :]
        types = [v.type for v in noted.share.body.results[len(found) - len(values) :]]
        outside = [m for m in self.met if m.value is not None]
        off: list[float] = []
        for m, elements, t in zip(outside, values, types, strict=True):
            assert m.value is not None
            got = numbers(elements, t, self.config, m.value.dtype)
            off.append(distance(got, m.value, kinds.most(self.config) if m.note.constant else None))
            if not off[-1] <= self.config.tolerance and not self._is_a_detail(m, off[-1]):
                raise self._operation(m, off[-1], max(errors))
        if self.passed:  # beyond the format the same operation is right in one run and wrong in the next
            raise self._operation(self.passed[0], max(errors), max(errors))
        if off and max(errors) <= advice.LARGEST and self._right_in_another_run():
            worst = max(range(len(off)), key=off.__getitem__)
            raise self._operation(outside[worst], max(errors), max(errors))
        raise self._together(errors, self.wrong(self.errors(results)))

    def _is_a_detail(self, m: Met, error: float) -> bool:
        """A rounding, where a later value passes a bound: whatever is rounded before it, that one wraps."""
        passed = [self.met.index(p) for p in self.passed if not advice.saturates(p)]
        return error <= advice.LARGEST and min(passed, default=0) > self.met.index(m)

    def _right_in_another_run(self) -> bool:
        """Then a result differs by its roundings alone, and each operation may have had luckier ones since."""
        return any(not self.wrong(self.errors(self.again(self.flow)[1])) for _ in range(RUNS))

    def _raise_constant(self, errors: Sequence[float]) -> None:
        """A result that stands for a constant beyond the number format is wrong by that alone."""
        constants = {m.note.value: m for m in self.met if m.note.constant}
        results = self.flow.frontier.program.body.results
        for which, error in zip(self.flow.frontier.outputs, errors, strict=True):
            m = constants.get(results[which]) if isinstance(which, int) else None
            if m is not None and not error <= self.config.tolerance:
                what = f"{m.note.name}: the result is a constant beyond the number format"
                raise self.error(what, m.note.loc, message(m.note.constant, self.config), [self._smaller])

    @property
    def _smaller(self) -> str:
        return f"use constants below 2^{self.config.value_bits} in magnitude"

    def _operation(self, m: Met, error: float, worst: float) -> CheckError:
        """The first operation whose value differs."""
        what = f"{m.note.name}: the result differs from plaintext by {error:.3g}"
        before = self.met[: self.met.index(m) + 1]
        causes = [p for p in self.passed if p in before]
        warned = self.flow.frontier.warnings.get(m.note.loc, "")
        if not np.isfinite(np.asarray(m.value, np.float64)).all():
            why = "plaintext is NaN or infinite there, which a ring has not: it has some number"
            todo = ["keep to operands for which it is defined, such as by jnp.where before it, not after"]
        elif warned and any(p.note.constant for p in before):
            why, todo = warned, [self._smaller]
        elif causes:
            why = self.told(self.passed)
            todo = advice.for_bound(causes[0], self.met, self.config, self.name, self.tried)
        else:
            within = f"the tolerance is {self.config.tolerance:g}, absolute plus relative"
            why = warned or f"no value before it passed a bound; {within}"
            todo = advice.for_plain(error, worst, before[:-1], m, self.config) or advice.for_precision(
                max(worst, error), self.met, self.config, self.name, self.tried
            )
        return self.error(what, m.note.loc, why, todo)

    def _together(self, errors: list[float], wrong_with_notes: bool) -> CheckError:
        """Every operation is right by itself."""
        n = next(n for n, error in enumerate(errors) if not error <= self.config.tolerance)
        found = "" if wrong_with_notes else self._pass_at_fault()
        at = f", first after the pass {found}" if found else ", whichever passes it went through"
        return self.error(
            f"{self.traced.paths[n]} differs from plaintext by {errors[n]:.3g}, and no operation does",
            f"the results of {self.name}",
            "each operation is right by itself, and wrong is what the compiler made of them together" + at,
            [advice.report(self.name)],
        )

    def _pass_at_fault(self) -> str:
        """The pass after which a result is wrong, and before which none is; nothing if there is none."""
        for name, flow in pass_by_pass(self.flow):
            if self.wrong(self.errors(self.again(flow)[1])):
                return name
        return ""


def distance(got: np.ndarray, expected: np.ndarray, most: float | None = None) -> float:
    """Absolute where the expected value is small, relative where it is large. most: what is larger than that needs the
    right sign alone, since it stands for a number beyond the format."""
    same = np.asarray(got == expected)
    wide = np.complex128 if "c" in (got.dtype.kind, expected.dtype.kind) else np.float64
    got, expected = got.astype(wide), expected.astype(wide)
    same |= np.isnan(got) & np.isnan(expected)
    if most is not None:
        same |= (np.abs(expected) > most) & (np.sign(got) == np.sign(expected))
    error = np.abs(got - expected) / (1 + np.abs(expected))
    return float(np.max(np.where(np.isfinite(error), error, np.inf), initial=0.0, where=~same))


def _passes(m: Met, config: Config) -> bool:
    t = m.note.value.type
    if t.kind == BOOL or (t.kind == INT and t.limit >= ops.whole(config)):
        return False
    return m.most > t.limit / 2**t.scale * (1 + 1e-6) + 1e-6  # a number of float32 is rounded


def _array(result: Any) -> np.ndarray:
    return opened(result) if isinstance(result, SecretArray) else np.asarray(result)


def _is_number(result: Any) -> bool:
    dtype = getattr(result, "dtype", None)
    return dtype is None or isinstance(dtype, np.dtype)
