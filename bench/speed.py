"""How fast the parties of this machine work, measured once: what a program's cost is reckoned with.

In: programs that were run, with their plans and seconds, over links without limits. Out: a `Speed` that explains them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from jmpc.config import Network
from jmpc.ir.plan import Plan
from jmpc.party.forecast import Speed, forecast

FREE = Network("none", 0.0, math.inf)
PROGRAMS = ("mlp_b1", "matmul_256", "relu_100k", "exp_100k")  # few and small; each is mostly of one kind of work
_UNITS = (Speed(segment=1.0), Speed(operation=1.0), Speed(byte=1.0))


@dataclass(frozen=True)
class Ran:
    """A program and the seconds of a run of it."""

    plans: Sequence[Plan]
    seconds: float


def fitted(ran: Sequence[Ran]) -> Speed:
    """The speed by which the programs take what they took, with the least relative errors; none of it is negative."""
    counts = np.array([[forecast(each.plans, FREE, unit) for unit in _UNITS] for each in ran])
    seconds = np.array([each.seconds for each in ran])
    found, _ = nnls(counts / seconds[:, None], np.ones(len(ran)))
    return Speed(*(float(x) for x in found))


def scaled(speed: Speed, ran: Ran) -> Speed:
    """The speed at which this very program takes what it took: what is local in it, measured."""
    return speed.times(ran.seconds / forecast(ran.plans, FREE, speed))
