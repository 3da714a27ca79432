"""An owner does its part of a call alone: its own work in the clear and the shares of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.api import Lowered
from jmpc.backends import LOCAL, pieces
from jmpc.errors import RangeError
from jmpc.executors.local import run_local
from jmpc.owner import Owner, owners
from jmpc.roles import Role
from tests.executors.programs import KEYS

A, B = np.array([1.5, -2.0, 0.25], np.float32), np.array([3.0, 0.5, -1.0], np.float32)
W = np.array(0.5, np.float32)


def score(a: Any, b: Any, w: Any) -> Any:
    return jnp.maximum(jnp.exp(a) * w + b / 3, 0), b.sum(), w * 2


told: dict[str, Any] = {"inputs": {"a": "alice", "b": "bob"}, "public": "w", "outputs": ("alice", "bob", "alice")}


def lowered(*given: Any, function: Any = score, **more: Any) -> Lowered:
    return jmpc.secure(function, **{**told, **more}).lower(*given)


def shape(x: np.ndarray) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def stated(size: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Words that depend on nothing but how many are drawn."""
    return np.random.default_rng(7).integers(0, 1 << 63, size, np.uint64).astype(dtype)


def test_each_needs_its_own_arrays_and_public_ones() -> None:
    found = lowered(A, B, W).owners
    assert {name: one.arguments for name, one in found.items()} == {"": [2], "alice": [0, 2], "bob": [1, 2]}
    flow = found["alice"].flow
    assert sorted(n for one in found.values() for n in one.sources) == list(range(len(flow.frontier.sources)))
    assert all(flow.share.inputs[n].owner == name for name, one in found.items() for n in one.sources)
    assert found["bob"].clear == [1]
    assert found[Role.PUBLIC].clear == [2]
    assert repr(found["alice"]) == "Owner('alice', supplies 1 inputs of score)"


def test_what_each_shares_alone_is_what_the_parties_compute_on() -> None:
    """Three processes, each with the values of one owner and the shapes of the rest, and the parties: what they open
    is the function of all values."""
    at_alice, at_bob, at_third = lowered(A, shape(B), W), lowered(shape(A), B, W), lowered(shape(A), shape(B), W)
    assert at_alice.as_text() == at_bob.as_text() == at_third.as_text()
    sent = at_alice.owners["alice"].share([A, W])
    sent |= at_bob.owners["bob"].share([B, W])
    sent |= at_third.owners[Role.PUBLIC].share([W])
    flow = at_third.flow
    inputs = [[a for n in sorted(sent) for a in sent[n][party]] for party in range(3)]
    held, _ = run_local(flow.placed(LOCAL.placement), inputs, KEYS)
    from jmpc.api import decode
    from jmpc.backends import _split, opened  # pyright: ignore[reportPrivateUsage]

    (parts,) = _split(flow, held)
    found = decode(opened(flow, 0, parts), flow.share.body.results[0].type, np.float32, flow.config)
    np.testing.assert_allclose(found, score(A, B, W)[0], atol=1e-3)
    np.testing.assert_allclose(at_bob.owners["bob"].supply([B, W]).clear[1], B.sum(), rtol=1e-6)


def test_shares_of_one_process_are_those_of_its_owners() -> None:
    """From the same words the same shares, whoever holds the owners."""
    made = lowered(A, B, W)
    alone: dict[int, Any] = {}
    shares: dict[int, Any] = {}
    for one in made.owners.values():
        given = [(A, B, W)[n] for n in one.arguments]
        alone |= one.supply(given).inputs
        shares |= one.share(given, stated)
    together = pieces(made.flow, [alone[n] for n in sorted(alone)], LOCAL, stated)
    for party, held in enumerate(together):
        mine = [a for n in sorted(shares) for a in shares[n][party]]
        assert len(mine) == len(held) > 0
        for a, b in zip(mine, held, strict=True):
            np.testing.assert_array_equal(a, b)


def test_nobody_is_given_what_is_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a call of one process, which has all values: each owner works on its own."""
    seen: dict[str, Sequence[Any]] = {}
    evaluate = Owner.evaluate

    def noted(self: Owner, arrays: Sequence[Any]) -> list[Any]:
        seen[self.name] = arrays
        return evaluate(self, arrays)

    monkeypatch.setattr(Owner, "evaluate", noted)
    with jmpc.local():
        jmpc.secure(score, **told)(A, B, W)
    assert seen.keys() == {"", "alice", "bob"}
    for name, own in (("", []), ("alice", [A]), ("bob", [B])):
        got = [np.asarray(x) for x in seen[name]]
        assert len(got) == len(own) + 1
        for x, y in zip(got, [*own, W], strict=True):
            np.testing.assert_array_equal(x, y)


def test_an_effect_is_its_owners_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """What a function prints of an owner's value is printed once, by that owner."""

    def loud(a: Any, b: Any, w: Any) -> Any:
        jax.debug.print("a {}", a.sum())
        jax.debug.print("w {}", w)
        return a * b

    found = lowered(A, B, W, function=loud, outputs=Role.CALLER).owners
    printed = {}
    for name, one in found.items():
        one.supply([(A, B, W)[n] for n in one.arguments])
        jax.effects_barrier()
        printed[name] = capfd.readouterr().out.split("\n")[:-1]
    assert printed == {"": ["w 0.5"], "alice": ["a -0.25"], "bob": []}


def test_a_number_that_does_not_fit_is_told_to_its_owner() -> None:
    made = lowered(A, B, W).owners
    with pytest.raises(RangeError):
        made["bob"].share([np.array([1e30, 0, 0], np.float32), W])
    assert made["alice"].share([A, W])


def test_a_handle_is_nobodys() -> None:
    handle = jmpc.secure(lambda x: x * 2, outputs=jmpc.SECRET)(A)
    found = owners(jmpc.secure(lambda h, x: h * x, inputs={"x": "alice"}).lower(handle, B).flow)
    assert {name: one.arguments for name, one in found.items()} == {"": [], "alice": [1]}
    assert found[""].supply([]).inputs == {}


def supplied(function: Any, mine: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What alice supplies of the first argument, where the second is bob's."""
    made = jmpc.secure(function, inputs={"x": "alice", "y": "bob"}, outputs="bob").lower(mine, others)
    (found,) = made.owners["alice"].supply([mine]).inputs.values()
    return found


def test_a_bool_is_bits_where_it_is_secret_and_a_number_of_the_ring_where_it_is_public() -> None:
    bits = np.array([True, False, True])
    secret = supplied(lambda x, y: jnp.where(x, y, 2 * y), bits, A)
    assert (secret.dtype, secret.tolist()) == (np.dtype(bool), bits.tolist())
    made = jmpc.secure(lambda b, x: jnp.where(b, x * x, x), public="b")
    (public,) = made.lower(bits, A).owners[Role.PUBLIC].supply([bits]).inputs.values()
    assert (public.dtype, public.tolist()) == (np.dtype(np.uint64), [1, 0, 1])


def test_a_mask_beyond_the_format_is_supplied_as_its_largest_number() -> None:
    mask = np.array([True, False, True])
    made = jmpc.secure(lambda x, y: jnp.max(y + jnp.where(x, 0.0, -1e30)), inputs={"x": "alice", "y": "bob"})
    lowered = made.lower(mask, A)
    (source,) = [lowered.flow.frontier.sources[n] for n in lowered.owners["alice"].sources]
    assert source.saturates
    (found,) = lowered.owners["alice"].supply([mask]).inputs.values()
    assert found.view(np.int64).tolist() == [0, -source.type.limit, 0]


@pytest.mark.parametrize("declared", [True, False])
def test_a_number_too_large_is_refused_by_what_bounds_it(declared: bool) -> None:
    large = np.full(3, 1e3 if declared else 1e30, np.float32)
    with pytest.raises(RangeError) as refused:
        supplied(lambda x, y: (jmpc.bounded(x, 10.0) if declared else x) * y, large, A)
    assert ("declared" in str(refused.value)) == declared


def test_what_an_owner_supplies_is_not_shown() -> None:
    assert repr(lowered(A, B, W).owners["alice"].supply([A, W])) == "Supplied()"
