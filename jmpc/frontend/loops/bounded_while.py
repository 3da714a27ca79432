"""`jmpc.bounded_while`: a while loop that can run on secrets, since its number of steps is no secret.

What goes in: a predicate, a body, a state, and the most steps. What comes out: the state after the loop, in plain JAX.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from jmpc.errors import ArgumentError, ConfigError

State = TypeVar("State")


def bounded_while(
    cond_fun: Callable[[State], Any], body_fun: Callable[[State], State], init: State, max_steps: int
) -> State:
    """As `jax.lax.while_loop`, for at most `max_steps` steps, which always run: where the predicate is false the state
    stays as it is. It can be differentiated.

    A predicate on secrets stays secret, and with it the number of steps that counted. Whether the loop came to its end
    is `~cond_fun(result)`. Each step computes the predicate, the body and a selection; the body also runs on a state
    whose predicate is false, so it must be defined there. Raises ConfigError for `max_steps` that is not a whole number
    of steps, ArgumentError where the predicate is not one bool or the body changes the state's structure.
    """
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 0:
        raise ConfigError(
            "jmpc.bounded_while: max_steps is not a whole number of steps",
            todo="give a Python int: it is part of the program, and everybody sees it",
        )

    def step(state: State, _: None) -> tuple[State, None]:
        going, after = cond_fun(state), body_fun(state)
        _check(state, going, after)
        return jax.tree.map(lambda new, old: lax.select(going, new, old), after, state), None

    return lax.scan(step, jax.tree.map(jnp.asarray, init), None, length=max_steps)[0]


def _check(state: Any, going: Any, after: Any) -> None:
    if jnp.shape(going) != () or jnp.result_type(going).kind != "b":
        raise ArgumentError(
            f"jmpc.bounded_while: the predicate is {jnp.result_type(going)}{list(jnp.shape(going))}, not one bool",
            todo="return one bool: jnp.any(...) or jnp.all(...) of several",
        )
    before, now = jax.tree.structure(state), jax.tree.structure(after)
    if before != now:
        raise ArgumentError(
            f"jmpc.bounded_while: the body makes {now} of {before}", todo="return a state of the same structure"
        )
