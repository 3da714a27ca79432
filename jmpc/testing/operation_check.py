"""An op of your own (`jmpc.extend`), checked by one call: is it right, for what it costs, and private?

What goes in: an `Operation`. What comes out: an `OperationRecord`, which can be cited, or an AssertionError that says
where the op is declared, which attributes, ring and shape show the fault, and a script that shows it again.

    found = check_operation(is_zero)
    print(found)

In this order, each over many shapes, widths of the ring, and values of the attributes:
- *Right.* Results against the reference, on drawn values in the range that the op states, ends included; copies of one
  share that two parties hold are equal; rounds and bytes are those stated; words of masks those that the compiler sets
  aside. The plain meaning says the same as the reference, and so does the op in a secure function.
- *Structural.* A proof that all messages are masked, of all ring elements, in range or not (`privacy_structural.py`).
- *Exact.* Every input share and every mask word, on the widest ring for which these are not too many.
- *Statistical.* Views on inputs anywhere in the ring, compared (`privacy_statistical.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmpc import __version__, _typed
from jmpc.api import secure
from jmpc.config import RINGS, Config
from jmpc.extend import Operation, Uniform
from jmpc.extend.operation import as_list, told_of
from jmpc.frontend.words import bounded
from jmpc.ir.interp import evaluate
from jmpc.ir.program import Program
from jmpc.ir.types import BOOL, FIXED, INT, Type
from jmpc.ring.element import Ring
from jmpc.testing.build import config_of, one_op
from jmpc.testing.compare import assert_close
from jmpc.testing.draw.elements import bit_arrays, filled
from jmpc.testing.executors import SIMULATED, executor
from jmpc.testing.privacy.enumeration import Enumeration
from jmpc.testing.privacy.everywhere import WIDTHS, compared
from jmpc.testing.privacy.exact import Exact, check_private_exact
from jmpc.testing.privacy.report import PrivacyError
from jmpc.testing.privacy.statistical import Statistical
from jmpc.testing.privacy.structural import Structural, check_private_structural
from jmpc.testing.protocol_check import PHASES
from jmpc.testing.simulator.protocol_run import Ran, run_protocol
from jmpc.testing.snippet import config_text, value_text

Array = np.ndarray
Shape = tuple[int, ...]
Attrs = Mapping[str, Any]
PROVED: tuple[Shape, ...] = ((), (1,), (2,), (3,), (65,), (130,), (2, 1, 3, 2))
SIDES = (1, 2, 3, 5, 0, 63, 64, 65, 127, 128, 129, 130)
MOST_ELEMENTS = 1 << 10
MOST_ATTRS = 6
WIDEST = 8
MOST_RUNS = 1 << 20
SLOW = (HealthCheck.too_slow,)  # a busy machine is no fault of the op


@dataclass(frozen=True)
class OperationRecord:
    """What was checked of an op. digest: of the code that declares it.  examples: uses that were compared with the
    reference.  cost: whether its costs were stated, and are those counted.  secured: choices of its attributes that
    were compared with `jax.jit` as a secure function.  structural: of each shape, ring and choice of attributes.
    exact: of each choice of attributes, on the widest ring.  unreached: why another choice was not enumerated."""

    name: str
    module: str
    digest: str
    version: str
    examples: int
    cost: bool
    secured: int
    structural: tuple[Structural, ...]
    exact: tuple[Exact, ...]
    unreached: tuple[str, ...]
    statistical: tuple[Statistical, ...]

    def row(self) -> str:
        """A line for a table: | op | right | structural | exact | statistical |."""
        one = max(self.structural, key=lambda s: s.messages)
        cost = ", at the cost stated" if self.cost else ""
        right = f"{self.examples} uses{cost}; {self.secured} as secure functions"
        opened = f", {sum(one.opened.values())} opened" * bool(one.opened)
        proofs = f"{one.messages} messages, {one.masks} masks{opened}; {len(self.structural)} places"
        runs = dict.fromkeys(f"k = {e.k}: {e.runs:,} runs" for e in self.exact)
        exact = "; ".join([*runs, *dict.fromkeys(self.unreached)])
        views = f"{sum(s.runs for s in self.statistical):,} runs on each of two inputs" if self.statistical else "-"
        return f"| `{self.name}` | {right} | {proofs} | {exact} | {views} |"

    def __str__(self) -> str:
        where = f"{self.name} of the module {self.module}, code {self.digest[:16]}, jmpc {self.version}"
        return f"{where}\n| op | right | structural | exact | statistical |\n|---|---|---|---|---|\n{self.row()}"


def check_operation(
    operation: Operation, *, examples: int = 40, most_runs: int = MOST_RUNS, error: float = 1e-6
) -> OperationRecord:
    """Check an op that `jmpc.extend.protocol` declared. examples: how many uses are drawn.  most_runs: of the exact
    enumeration of one choice of attributes.  error: probability that the comparison of views speaks without a leak.

    Raises AssertionError, of which PrivacyError is one. An op that opens a value must be enumerated: that what is
    opened says nothing is shown by that level alone.
    """
    _check_ends(operation)
    _check_right(operation, examples)
    secured = _check_secured(operation)
    structural = tuple(_proved(operation))
    exact, unreached = _enumerated(operation, most_runs)
    if operation.opens and not exact:
        raise AssertionError(f"{operation.name} ({operation.where}) opens a value, and was not enumerated: {unreached}")
    statistical = tuple(_compared(operation, error))
    return OperationRecord(
        operation.name, operation.origin.module, operation.origin.digest, __version__, examples,
        operation.cost is not None, secured, structural, tuple(exact), tuple(unreached), statistical,
    )  # fmt: skip


# --- where it is tried


def rings(operation: Operation) -> list[Config]:
    return [config_of(config.k, config.f, operation.family) for config in WIDTHS]


def attributes(operation: Operation, config: Config) -> list[dict[str, Any]]:
    """Choices of the attributes that a configuration allows, the ends of their ranges first and last."""
    columns = [of.tried(config) for of in operation.attrs.values()]
    every = [dict(zip(operation.attrs, values, strict=True)) for values in itertools.product(*columns)]
    picked = np.unique(np.linspace(0, len(every) - 1, min(len(every), MOST_ATTRS)).astype(int)) if every else []
    return [every[n] for n in picked]


def operand_types(operation: Operation, shape: Shape, attrs: Attrs, config: Config, last: bool = False) -> list[Type]:
    """The widest types that the op takes. last: of operands that may be of several kinds, the last one."""
    shapes = [shape] * len(operation.takes) if operation.at is None else operation.at(shape, attrs)
    return [
        takes.as_operand(tuple(s), takes.kinds[-1 if last else 0], attrs, config)
        for takes, s in zip(operation.takes, shapes, strict=True)
    ]


def program_at(operation: Operation, attrs: Attrs) -> Callable[[Shape, Config], Program]:
    def made(shape: Shape, config: Config) -> Program:
        config = config_of(config.k, config.f, operation.family)
        return one_op(operation.name, operand_types(operation, shape, attrs, config), config, **attrs)

    return made


@contextmanager
def _told(operation: Operation, attrs: Attrs, where: str) -> Generator[None]:
    """Says in a PrivacyError what was looked at."""
    try:
        yield
    except PrivacyError as fault:
        fault.add_note(f"of the op {operation.name}, declared at {operation.where}, with {dict(attrs)}, {where}")
        raise


# --- right, and for what it costs


def _check_right(operation: Operation, examples: int) -> None:
    configs = [c for c in rings(operation) if attributes(operation, c)]
    assert configs, f"{operation.name} ({operation.where}): no ring allows any choice of its attributes"

    @settings(max_examples=examples, deadline=None, phases=PHASES, database=None, suppress_health_check=SLOW)
    @given(data=st.data())
    def check(data: Any) -> None:
        config = data.draw(st.sampled_from(configs))
        attrs = data.draw(st.sampled_from(attributes(operation, config)))
        types = operand_types(operation, data.draw(shapes()), attrs, config, data.draw(st.booleans()))
        values = [data.draw(values_of(t, config)) for t in types]
        check_use(operation, types, values, attrs, config, data.draw(st.integers(0, 1 << 20)))

    check()


@st.composite
def shapes(draw: Any) -> Shape:
    """Of any rank up to 4, with sizes around those of a word and of two, of up to 1,024 elements."""
    found: list[int] = []
    for side in draw(st.lists(st.sampled_from(SIDES), max_size=4)):
        if int(np.prod([*found, side])) <= MOST_ELEMENTS:
            found.append(side)
    return tuple(found)


def values_of(t: Type, config: Config) -> st.SearchStrategy[Array]:
    """Values in the range of a type, often at its ends; they shrink towards 0."""
    if t.kind == BOOL:
        return bit_arrays(t.shape)
    low, high = -t.limit, min(t.limit, (1 << (config.k - 1)) - 1)
    return filled(t.shape, st.one_of(st.sampled_from(ends_of(t, config)), st.integers(low, high)), np.int64)


def ends_of(t: Type, config: Config) -> list[Any]:
    """Where a protocol is wrong first: 0 and beside it, the ends of the range and beside them."""
    if t.kind == BOOL:
        return [False, True]
    low, high = -t.limit, min(t.limit, (1 << (config.k - 1)) - 1)
    return sorted({v for v in (0, 1, -1, high, low, high - 1, low + 1, high // 2) if low <= v <= high}, key=abs)


def _check_ends(operation: Operation) -> None:
    """All ends of one operand with all of the others, on each ring, for each choice of attributes."""
    several = any(len(takes.kinds) > 1 for takes in operation.takes)
    for config in rings(operation):
        for attrs, last in itertools.product(attributes(operation, config), (False, True)[: 1 + several]):
            columns = [ends_of(t, config) for t in operand_types(operation, (1,), attrs, config, last)]
            every = list(itertools.islice(itertools.product(*columns), MOST_ELEMENTS))
            _check_uses(operation, every, attrs, config, last)


def _check_uses(operation: Operation, every: Sequence[Sequence[Any]], attrs: Attrs, config: Config, last: bool) -> None:
    """Side by side; where that is wrong, the first that is wrong by itself is shown."""

    def check(uses: Sequence[Sequence[Any]]) -> None:
        types = operand_types(operation, (len(uses),), attrs, config, last)
        values = [np.resize(np.array(one), t.shape) for one, t in zip(zip(*uses, strict=True), types, strict=True)]
        check_use(operation, types, values, attrs, config)

    try:
        check(every)
    except AssertionError:
        for one in every:
            check([one])
        raise


def check_use(
    operation: Operation, types: Sequence[Type], values: Sequence[Array], attrs: Attrs, config: Config, seed: int = 0
) -> None:
    """One use of the op. Raises AssertionError, with a script that runs it again."""
    try:
        ran = run_protocol(operation.name, types, values, attrs, config=config, seed=seed)
        program = one_op(operation.name, types, config, **attrs)
        _compare_results(operation, program, values, ran)
        if operation.cost is not None:
            stated = operation.cost(types, attrs, config)
            assert ran.cost == stated, f"counted {ran.cost}, stated {stated}"
        aside = f"drew {ran.mask_words} words, and the compiler sets {ran.scheduled_words} aside"
        assert ran.mask_words == ran.scheduled_words, aside
    except AssertionError as fault:
        script = _script(operation, types, values, attrs, config, seed)
        raise AssertionError(f"{operation.name} ({operation.where}): {fault}\n\n{script}") from fault


def _compare_results(operation: Operation, program: Program, values: Sequence[Array], ran: Ran) -> None:
    ring = Ring(program.config.k)
    wanted = evaluate(program, values)
    plain = _plain(operation, program, values) if operation.plain is not None else wanted
    for n, (gives, value) in enumerate(zip(operation.gives, program.body.results, strict=True)):
        t, found = value.type, ran.results[n]
        assert found.shape == t.shape, f"result {n} has the shape {found.shape}, and its type {t.shape}"
        if isinstance(gives, Uniform):
            continue
        said = f"result {n} is not that of the reference"
        if t.kind == BOOL:
            np.testing.assert_array_equal(found, wanted[n], err_msg=said)
            np.testing.assert_array_equal(plain[n], wanted[n], err_msg=f"result {n}: plain= and reference= differ")
            continue
        off = np.abs(ring.to_int(ring.from_int(found - wanted[n])))
        assert (off <= operation.error).all(), f"{said}, but off by {off.max()} units; stated {operation.error}"
        if gives.within is not None:
            _compare_bound(n, wanted[n], t, replace(gives, within=None).limit(t.scale, t.kind, {}, program.config))
        if operation.plain is not None:
            _compare_plain(n, plain[n], np.asarray(wanted[n], np.float64), t, operation.error, ring)


def _plain(operation: Operation, program: Program, values: Sequence[Array]) -> list[Array]:
    """Real numbers as float64. Integers as they are, where all are: as float64 the largest would be others."""
    if any(value.type.kind == FIXED for value in (*program.body.params, *program.body.results)):
        return evaluate(program, values, exact=True)
    assert operation.plain is not None
    with jax.enable_x64(True):
        made = operation.plain(*(_typed.asarray(x) for x in values), **program.body.ops[-1].attrs)
    return [np.asarray(x) for x in as_list(made)]


def _compare_bound(n: int, reference: Array, t: Type, whole: int) -> None:
    """Comparisons after the op look at as many bits as its result says that it has. whole: what the ring holds, so that
    nothing is said of less."""
    most = max((abs(int(x)) for x in reference.flat), default=0)
    one = 2**t.scale
    said = f"result {n} is as large as {most / one:.6g}, and gives= says within={t.limit / one:.6g}"
    assert most <= t.limit or t.limit == whole, said


def _compare_plain(n: int, plain: Array, reference: Array, t: Type, error: int, ring: Ring) -> None:
    """Where the number is one of the result's type that the ring holds; within a unit and rounding. In units."""
    units = np.ldexp(np.asarray(plain, np.float64), t.scale)
    inside = (np.abs(units) <= t.limit) & (units < np.ldexp(1.0, ring.k - 1))
    off = np.where(inside, np.abs(units - reference) - 1e-6 * np.abs(units), 0)
    most = error + 1 if t.kind == FIXED else error
    assert (off <= most).all(), f"result {n}: plain= and reference= differ by {off.max():.6g} units"


def _script(
    operation: Operation, types: Sequence[Type], values: Sequence[Array], attrs: Attrs, config: Config, seed: int
) -> str:
    told = config_text(config) if config.k in RINGS else f"config_of({config.k}, {config.f}, {config.protocol!r})"
    return (
        f"import numpy as np\n\nimport jmpc\nimport {operation.origin.module}  # declares the op\n"
        "from jmpc.ir.types import Type\nfrom jmpc.testing import run_protocol\n"
        "from jmpc.testing.build import config_of\n\n"
        f"types = [{', '.join(map(repr, types))}]\nvalues = {value_text(list(values))}\n"
        f"attrs = {value_text(dict(attrs))}\n"
        f"ran = run_protocol({operation.name!r}, types, values, attrs, config={told}, seed={seed})\n"
        "print(ran.results, ran.cost, ran.mask_words)\n"
    )


# --- in a secure function


def _check_secured(operation: Operation) -> int:
    """The op in a secure function against `jax.jit`, on the default ring, for each choice of attributes."""
    if operation.plain is None:
        return 0
    config = Config(protocol=operation.family)
    chosen = attributes(operation, config)
    for attrs in chosen:
        types = operand_types(operation, (5,), attrs, config)

        def function(*xs: Any, attrs: Attrs = attrs, types: Sequence[Type] = types) -> Any:
            return operation(*(_declared(x, t) for x, t in zip(xs, types, strict=True)), **attrs)

        args = [_numbers(t, n) for n, t in enumerate(types)]
        with executor(SIMULATED):
            found = secure(function, config=config)(*args)
        assert_close(
            found, jax.jit(function)(*args), (operation.error + 2) * 2.0**-config.f,
            f"{operation.name} ({operation.where}) in a secure function, with {dict(attrs)}",
        )  # fmt: skip
    return len(chosen)


def _declared(x: Any, t: Type) -> Any:
    return x if t.kind == BOOL else bounded(x, t.limit / 2**t.scale)


def _numbers(t: Type, seed: int) -> Array:
    """Numbers in the range of a type that a float32, or an int32, holds exactly."""
    rng, most = np.random.default_rng(seed), min(t.limit, (1 << 24) - 1)
    if t.kind == BOOL:
        return rng.integers(0, 2, t.shape) == 1
    units = rng.integers(-most, most, t.shape, endpoint=True)
    return units.astype(np.int32) if t.kind == INT else np.ldexp(units.astype(np.float32), -t.scale)


# --- private


def _proved(operation: Operation) -> Iterator[Structural]:
    for config in rings(operation):
        for attrs, shape in itertools.product(attributes(operation, config), PROVED):
            with _told(operation, attrs, f"shape {shape}, a ring of {config.k} bits"):
                yield check_private_structural(program_at(operation, attrs)(shape, config))


def _enumerated(operation: Operation, most_runs: int) -> tuple[list[Exact], list[str]]:
    """For each choice of attributes, on the widest ring of up to 8 bits; and why another was not."""
    found: dict[str, Exact] = {}
    unreached: dict[str, str] = {}
    unknown = [n for n, gives in enumerate(operation.gives) if isinstance(gives, Uniform)]
    fixed = any(FIXED in takes.kinds for takes in (*operation.takes, *map(told_of, operation.gives)))
    for k in range(WIDEST, 1 if fixed else 0, -1):  # a number has a sign and a gap bit
        config = config_of(k, max((k - 2) // 2, 0), operation.family)
        for attrs in attributes(operation, config):
            if str(attrs) in found:
                continue
            made = program_at(operation, attrs)
            try:
                with _told(operation, attrs, f"every run of a ring of {k} bits"):
                    exact = _exact(lambda shape, made=made, config=config: made(shape, config), unknown, most_runs)
            except ValueError as fault:
                unreached[str(attrs)] = str(fault)
                continue
            found[str(attrs)] = exact
            unreached.pop(str(attrs), None)
    return list(found.values()), list(unreached.values())


def _exact(made: Callable[[Shape], Program], unknown: Sequence[int], most_runs: int) -> Exact:
    if (runs := Enumeration(made).count) > most_runs:
        raise ValueError(f"{runs:,} runs are more than most_runs={most_runs:,}")
    return check_private_exact(made, unknown=unknown)


def _compared(operation: Operation, error: float) -> Iterator[Statistical]:
    """With the largest attributes, on inputs anywhere in the ring; nothing where there is no input."""
    chosen = attributes(operation, rings(operation)[0])[-1:] if operation.takes else []
    for attrs in chosen:

        def made(shape: Shape, config: Config) -> Program:
            allowed = attributes(operation, config)
            return program_at(operation, allowed[-1] if allowed else chosen[0])(shape, config)

        with _told(operation, attrs, "views on two inputs"):
            yield from compared(made, None, error)
