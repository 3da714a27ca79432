"""Infer rules of the share level: by which protocol."""

from __future__ import annotations

from collections.abc import Sequence

from jmpc.config import Config
from jmpc.errors import ProgramError
from jmpc.ir.op_table import COMMON, SHARE, Attrs, Infer, rule
from jmpc.ir.ops_value import truncated
from jmpc.ir.types import (
    ARITH,
    INT,
    SECRET,
    SPLIT,
    SUM3,
    Type,
    dabit_halves,
    secret_bits,
)


def _unmasked(product: Infer) -> Infer:
    """A product of two secrets before its round: one summand at each party."""
    return lambda types, attrs, config: (product(types, attrs, config)[0].with_(form=SUM3),)


for _name in ("mul", "dot", "conv"):
    SHARE[f"{_name}_sum3"] = _unmasked(COMMON[_name])


def _to_form(form: str) -> Infer:
    return lambda types, attrs, config: (types[0].with_(form=form, visibility=SECRET, owner=""),)


rule(SHARE, "to_sum3")(_to_form(SUM3))
rule(SHARE, "reshare")(_to_form(ARITH))
rule(SHARE, "split", "open_split")(_to_form(SPLIT))


@rule(SHARE, "truncate_wrap", "truncate_local")
def _truncate_split(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (truncated(types[0], attrs["bits"]),)


@rule(SHARE, "msb", "zero_test")
def _bit_of_split(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    if attrs["width"] + attrs.get("drop", 0) > config.k:
        raise ProgramError(f"{attrs['width']} bits above {attrs['drop']} of a ring of {config.k}")
    return (secret_bits(types[0].shape),)


@rule(SHARE, "dabit")
def _dabit(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    """A random bit that no party knows, as a bit and as a number."""
    return dabit_halves(attrs["shape"])


@rule(SHARE, "inject", "inject_dabit")
def _inject(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (types[-1].with_(form=ARITH),)


@rule(SHARE, "bit_to_arith", "bit_to_arith_dabit")
def _bit_to_arith(types: Sequence[Type], attrs: Attrs, config: Config) -> tuple[Type, ...]:
    return (Type(types[0].shape, INT, 0, 1),)
