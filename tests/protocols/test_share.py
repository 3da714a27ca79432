"""Opening, and narrow messages: protocol functions without an op of their own, run through hand-made party programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jmpc import _jax
from jmpc.families.protocol import Cost
from jmpc.families.replicated3.neighbours import Me
from jmpc.families.replicated3.protocols import share
from jmpc.families.replicated3.protocols.share import Group
from jmpc.ir.types import BITS, Type, secret_bits
from jmpc.party.exchange import Party
from jmpc.party.program import Traced, flatten
from jmpc.ring.bits import pack_host, unpack_host, words
from jmpc.ring.element import Ring
from jmpc.testing.build import number
from jmpc.testing.simulator.lockstep import Masks, Report, lock_step, walk
from jmpc.testing.simulator.shares import hold
from tests.protocols.formulas import message_bytes

SHAPES = ((), (1,), (7, 9), (64,), (65,), (0,))
RINGS = (32, 64, 7, 45)


def play(function: Callable[..., Any], ring: Ring, inputs: list[list[np.ndarray]]) -> tuple[list[list[Any]], Report]:
    """Trace function(me, *arrays) at each party and run the three; None results are left out."""
    report, masks, walks = Report(3), Masks(np.random.default_rng(3)), []
    for party in range(3):
        me = Me(Party(party, ring))

        def run(*arrays: Any, me: Any = me) -> list[Any]:
            out = function(me, *arrays)
            return [_jax.staged(a) for a in flatten([] if out is None else [out])]

        with jax.enable_x64(True):
            avals = [_jax.aval(a.shape, a.dtype) for a in inputs[party]]
            jaxpr, consts = _jax.closed(_jax.make_jaxpr(run, *avals))
        traced = Traced(jaxpr, consts, party, 3, (("test", ""),))
        walks.append(walk(traced, inputs[party], [0] * len(avals), masks))
    return lock_step(walks, report), report


def elements(draw: Any, ring: Ring, shape: tuple[int, ...]) -> np.ndarray:
    top = 1 << (ring.k - 1)
    one = st.one_of(st.sampled_from([0, 1, -1, top - 1, -top]), st.integers(-top, top - 1))
    return np.resize(np.array(draw(st.lists(one, min_size=1, max_size=5)), np.int64), shape)


def group_and_type(ring: Ring, shape: tuple[int, ...], bits: bool) -> tuple[Group, Type]:
    return (share.BITS, secret_bits(shape)) if bits else (share.numbers(ring), number(shape, 1))


def bytes_of(t: Type, ring: Ring) -> int:
    return 8 * words(t.size) if t.form == BITS else t.size * ring.element_bytes


@st.composite
def secrets(draw: Any) -> tuple[Ring, Group, Type, np.ndarray]:
    ring, shape, bits = Ring(draw(st.sampled_from(RINGS))), draw(st.sampled_from(SHAPES)), draw(st.booleans())
    x = elements(draw, ring, shape)
    return ring, *group_and_type(ring, shape, bits), (x & 1).astype(bool) if bits else x


@given(secret=secrets())
def test_a_reveal_to_all_tells_each_the_same(secret: Any) -> None:
    ring, group, t, x = secret
    held = hold(x, t, ring, np.random.default_rng(1))
    results, report = play(lambda me, *pair: share.reveal_all(me, pair, group), ring, held)
    for (found,) in results:
        np.testing.assert_array_equal(plain(found, t, ring), x)
    assert report.cost == Cost(1, (bytes_of(t, ring),) * 3)


@given(shape=st.sampled_from(SHAPES), seed=st.integers(0, 99))
def test_open_words_tells_all_three_the_packed_bits(shape: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, t = rng.integers(0, 2, shape).astype(bool), secret_bits(shape)
    results, report = play(lambda me, *pair: share.open_words(me, pair), Ring(64), hold(x, t, Ring(64), rng))
    for (found,) in results:
        np.testing.assert_array_equal(found, pack_host(x))
    assert report.cost == Cost(1, (bytes_of(t, Ring(64)),) * 3)


def plain(found: np.ndarray, t: Type, ring: Ring) -> np.ndarray:
    """What a revealed array says."""
    return unpack_host(found, t.shape) if t.form == BITS else ring.to_int(found)


@given(bits=st.integers(1, 64), k=st.sampled_from((8, 13, 32, 64)), seed=st.integers(0, 99))
def test_a_narrow_message_keeps_the_low_bits(bits: int, k: int, seed: int) -> None:
    ring = Ring(k)
    bits = min(bits, k)
    group = share.residues(ring, bits)
    x = np.random.default_rng(seed).integers(0, 1 << ring.storage_bits, (3, 5), ring.dtype)
    with jax.enable_x64(True):
        message = share.narrow(x, group)
        assert (message.shape, message.dtype) == share.narrow_spec(x.shape, group)
        back = np.asarray(share.widen(message, group))
    assert message.nbytes == x.size * message_bytes(bits, ring)
    np.testing.assert_array_equal(back, x & ring.dtype.type((1 << bits) - 1))
