"""A protocol against its reference and its stated cost, on drawn inputs.

What goes in: a protocol, what it should give, a strategy of inputs. What comes out: nothing, or an AssertionError with
the smallest inputs that show the fault, and a script that shows it again.

    def inputs(config):
        return shapes().flatmap(lambda s: st.tuples(bit_arrays(s), bit_arrays(s))).map(
            lambda xy: Inputs([secret_bits(xy[0].shape)] * 2, list(xy)))

    check_protocol("and", np.logical_and, inputs)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.families.protocol import Cost, CostRule
from jmpc.ir.interp import evaluate
from jmpc.testing.build import one_op
from jmpc.testing.protocol_script import Asked, Inputs, Reference, WordsRule, example_script
from jmpc.testing.simulator.protocol_run import Function, Prepared, Ran, ResultTypes, prepared, run_prepared

Array = np.ndarray
CONFIGS = (Config(), Config(k=32, f=8))
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # what varies says the message itself


Drawn = Callable[[Config], st.SearchStrategy[Inputs]]


@dataclass(frozen=True)
class Stated:
    """What is said of a protocol. None: nothing, and nothing is compared."""

    cost: Cost | None
    mask_words: tuple[int, ...] | None


def check_protocol(
    protocol: str | Function,
    reference: Reference | None,
    inputs: Drawn,
    *,
    results: ResultTypes | None = None,
    cost: CostRule | None = None,
    mask_words: WordsRule | None = None,
    configs: Sequence[Config] | None = None,
    examples: int = 20,
    protocols: Mapping[str, Any] | None = None,
) -> None:
    """The protocol gives what the reference gives, for the rounds, bytes and mask words that are stated.

    protocol: the name of an op in `protocols`, or a function (me, held, types, attrs) with `results` as in
    `run_protocol`. reference: of (*values, **attrs), in integers of 2^-scale or bools: an array, or one for each
    result; None takes the check of the inputs or, of a registered op, its meaning in the Share IR. inputs: for a
    configuration, a strategy of `Inputs`. cost, mask_words: formulas of (types, attrs, config), to compare with what
    is counted. What is sent and drawn must in any case be what the compiler has counted before the run.
    configs: which are drawn. examples: how many inputs.

    Raises AssertionError.
    """
    if reference is None and not isinstance(protocol, str):
        raise ValueError("a protocol that is not registered needs a reference")

    traced: dict[Any, Prepared] = {}

    @settings(max_examples=examples, deadline=None, phases=PHASES)
    @given(data=st.data())
    def check(data: Any) -> None:
        config = data.draw(st.sampled_from(list(configs or CONFIGS)))
        one = data.draw(inputs(config))
        asked = Asked(protocol, reference, results, cost, mask_words, protocols)
        _check(asked, one, config, data.draw(st.integers(0, 1 << 20)), traced)

    check()


def check_example(
    protocol: str | Function,
    reference: Reference | None,
    one: Inputs,
    *,
    results: ResultTypes | None = None,
    cost: CostRule | None = None,
    mask_words: WordsRule | None = None,
    config: Config | None = None,
    seed: int = 0,
    protocols: Mapping[str, Any] | None = None,
) -> None:
    """`check_protocol` on one example: what the script of a failure calls. seed: of shares and masks.

    Raises AssertionError.
    """
    _check(Asked(protocol, reference, results, cost, mask_words, protocols), one, config or Config(), seed, {})


def _check(asked: Asked, one: Inputs, config: Config, seed: int, traced: dict[Any, Prepared]) -> None:
    """traced: programs of earlier examples, by what they depend on."""
    try:
        ran = run_prepared(_prepared(asked, one, config, traced), one.types, one.values, config, seed)
        _compare_results(asked.protocol, asked.reference, one, config, ran)
        _compare_costs(_stated(asked, one, config), ran)
    except (AssertionError, ProgramError) as fault:
        script = example_script(asked, one, config, seed)
        raise AssertionError(f"{asked.name}: {fault}\n\nto see it again:\n\n{script}") from fault


def _prepared(asked: Asked, one: Inputs, config: Config, traced: dict[Any, Prepared]) -> Prepared:
    """The party programs: of values of the same types and attributes, those that there are already."""
    key = tuple(one.types), config, repr(sorted(one.attrs.items()))
    if key not in traced:
        traced[key] = prepared(
            asked.protocol, one.types, one.attrs, results=asked.results, config=config, protocols=asked.protocols
        )
    return traced[key]


def _stated(asked: Asked, one: Inputs, config: Config) -> Stated:
    said = [rule and rule(one.types, one.attrs, config) for rule in (asked.cost, asked.mask_words)]
    return Stated(*said)  # pyright: ignore[reportArgumentType]


def _compare_results(
    protocol: str | Function, reference: Reference | None, one: Inputs, config: Config, ran: Ran
) -> None:
    if reference is None and one.check is not None:
        return one.check(ran.results)
    if reference is not None:
        expected = reference(*one.values, **one.attrs)
        expected = list(expected) if isinstance(expected, list | tuple) else [expected]
    else:
        assert isinstance(protocol, str)
        expected = evaluate(one_op(protocol, one.types, config, **one.attrs), [np.asarray(x) for x in one.values])
    assert len(expected) == len(ran.results), f"{len(ran.results)} results, and {len(expected)} in the reference"
    for n, (found, wanted) in enumerate(zip(ran.results, expected, strict=True)):
        np.testing.assert_array_equal(found, wanted, err_msg=f"result {n} is not that of the reference")


def _compare_costs(stated: Stated, ran: Ran) -> None:
    if stated.cost is not None:
        assert ran.cost == stated.cost, f"counted {ran.cost}, stated {stated.cost}"
    if stated.mask_words is not None:
        assert ran.mask_words == stated.mask_words, f"drew {ran.mask_words} words, stated {stated.mask_words}"
    aside = f"drew {ran.mask_words} words, and the compiler sets {ran.scheduled_words} aside"
    assert ran.mask_words == ran.scheduled_words, aside
    assert ran.cost == ran.compiled_cost, f"counted {ran.cost}, and the compiler has {ran.compiled_cost}"


__all__ = ["Inputs", "Ran", "Stated", "check_example", "check_protocol"]
