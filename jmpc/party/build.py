"""From a share-level program to plans: trace, schedule, cut. What a party process needs of the compiler.

A party traces its own program only: the joint schedule comes with the text that the parties agreed on.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Generator

from jmpc import families
from jmpc.ir.plan import Plan
from jmpc.ir.program import Program
from jmpc.party.cut import make_plan
from jmpc.party.program import Traced, trace_party
from jmpc.party.schedule import Schedule, schedule
from jmpc.ring.product import DEFAULT_FORM


def trace(program: Program, party: int, products: str = DEFAULT_FORM) -> Traced:
    """products: the form of ring products (`ring/product.py`)."""
    return trace_party(program, party, families.of(program.config), products)


def plan_all(program: Program, products: str = DEFAULT_FORM) -> tuple[Schedule, list[Plan]]:
    """The joint schedule, which is the same for every form of products, and the plans of all parties, each traced
    once."""
    with _no_search_for_cycles():
        traced = [trace(program, party, products) for party in range(families.of(program.config).parties)]
        found = schedule(traced)
        return found, [make_plan(t, found) for t in traced]


def build_plan(program: Program, found: Schedule, party: int, products: str = DEFAULT_FORM) -> Plan:
    """One party's plan under the schedule that was agreed on."""
    with _no_search_for_cycles():
        return make_plan(trace(program, party, products), found)


@contextlib.contextmanager
def _no_search_for_cycles() -> Generator[None]:
    """Python looks through all that is made here for cycles again and again, a third of the time, and finds none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
