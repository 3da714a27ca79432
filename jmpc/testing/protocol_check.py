"""A protocol against its reference and its stated cost, on drawn inputs.

What goes in: a protocol, what it should give, a strategy of inputs. What comes out: nothing, or an AssertionError with
the smallest inputs that show the fault, and a script that runs the protocol on them again.

    def inputs(config):
        return shapes().flatmap(lambda s: st.tuples(bit_arrays(s), bit_arrays(s))).map(
            lambda xy: Inputs([secret_bits(xy[0].shape)] * 2, list(xy)))

    check_protocol("and", np.logical_and, inputs)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jmpc.config import Config
from jmpc.families.protocol import Cost, CostRule
from jmpc.ir.interp import evaluate
from jmpc.ir.types import Type
from jmpc.testing.build import one_op
from jmpc.testing.protocol_run import Function, Ran, ResultTypes, run_protocol
from jmpc.testing.snippet import config_text, function_text, value_text

Array = np.ndarray
Reference = Callable[..., Any]
CONFIGS = (Config(), Config(k=32, f=8))
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)  # what varies says the message itself


@dataclass(frozen=True)
class Inputs:
    """One use of a protocol: types and values of its operands, its attributes. check: of the results, where they are
    not one thing only; raises AssertionError."""

    types: Sequence[Type]
    values: Sequence[Any]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[list[Array]], None] | None = None


Drawn = Callable[[Config], st.SearchStrategy[Inputs]]
MaskRule = Callable[[Sequence[Type], Mapping[str, Any], Config], tuple[int, ...]]


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
    mask_words: MaskRule | None = None,
    configs: Sequence[Config] = CONFIGS,
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

    @settings(max_examples=examples, deadline=None, phases=PHASES)
    @given(data=st.data())
    def check(data: Any) -> None:
        config = data.draw(st.sampled_from(list(configs)))
        one = data.draw(inputs(config))
        seed = data.draw(st.integers(0, 1 << 20))
        said = [rule and rule(one.types, one.attrs, config) for rule in (cost, mask_words)]
        stated = Stated(*said)  # pyright: ignore[reportArgumentType]
        check_once(protocol, reference, one, config, seed, stated, results, protocols)

    check()


def check_once(
    protocol: str | Function,
    reference: Reference | None,
    one: Inputs,
    config: Config,
    seed: int,
    stated: Stated,
    results: ResultTypes | None = None,
    protocols: Mapping[str, Any] | None = None,
) -> None:
    """One example of `check_protocol`."""
    try:
        ran = run_protocol(
            protocol, one.types, one.values, one.attrs, results=results, config=config, seed=seed, protocols=protocols
        )
        _compare_results(protocol, reference, one, config, ran)
        _compare_costs(stated, ran)
    except AssertionError as fault:
        raise AssertionError(f"{_name(protocol)}: {fault}\n\n{snippet(protocol, one, config, seed)}") from fault


def _name(protocol: str | Function) -> str:
    return protocol if isinstance(protocol, str) else getattr(protocol, "__name__", "protocol")


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


def snippet(protocol: str | Function, one: Inputs, config: Config, seed: int) -> str:
    """A script that runs the protocol on these inputs."""
    what = repr(protocol) if isinstance(protocol, str) else "function"
    defined = "" if isinstance(protocol, str) else function_text(protocol)
    types = ", ".join(repr(t) for t in one.types)
    return (
        "import numpy as np\n\nimport jmpc\nfrom jmpc.ir.types import Type\nfrom jmpc.testing import run_protocol\n\n"
        f"{defined}"
        f"types = [{types}]\nvalues = {value_text(list(one.values))}\nattrs = {value_text(dict(one.attrs))}\n"
        f"ran = run_protocol({what}, types, values, attrs, config={config_text(config)}, seed={seed})\n"
        "print(ran.results, ran.cost, ran.mask_words)\n"
    )


__all__ = ["Inputs", "Ran", "Stated", "check_once", "check_protocol", "snippet"]
