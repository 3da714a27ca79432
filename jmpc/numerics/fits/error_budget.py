"""The error budget: what `Config.error` asks of an approximation.

What goes in: the error that a function states at the default budget, and the budget. What comes out: the error that it
may have. All approximations of this folder scale with the budget, so that their ratios stay those of the documentation.
"""

from __future__ import annotations

from jmpc.config import ERROR


def allowed(stated: float, budget: float) -> float:
    """What is stated at the default budget, at this one. At the default it is the same float."""
    return stated * (budget / ERROR)
