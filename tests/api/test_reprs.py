"""No `repr` shows a value of a user's, a share or a key: a traceback or a log that prints objects must not.

Two ways. Over all the dataclasses of jmpc: a field that can hold an array or bytes is hidden, or listed here with the
reason why what it holds is no secret. And over all the objects that live while programs run: their text has no number
of what goes in, of what comes out, and of what a party holds.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
import inspect
import pkgutil
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.executors import run as run_module
from jmpc.executors.engine import PartyEngine, program_text
from jmpc.executors.local import fresh_keys
from jmpc.executors.sharing import fresh
from jmpc.families import sharing
from jmpc.families.replicated3 import PAIR
from jmpc.ring.element import Ring
from jmpc.runtime.memory import memory_channels

CAN_HOLD = re.compile(r"\b(Any|Array|ndarray|bytes|bytearray|memoryview|Held|object)\b")
PROGRAM = "a part of the program, which is public"
TRACED = "made while a protocol is traced: of tracers, which have no value"
DTYPE = "a dtype"
NO_SECRET = {
    "arguments.Call.settings": "settings of JAX",
    "arguments.Call.tree": "a structure",
    "frontend.idioms.Template.eqns": PROGRAM,
    "frontend.idioms.Template.inputs": PROGRAM,
    "frontend.idioms.Match.inputs": PROGRAM,
    "frontend.known.Known.dtype": DTYPE,
    "frontend.lower.Argument.dtype": DTYPE,
    "frontend.lower.Wanted.dtype": DTYPE,
    "frontend.rules.scan.Loop.jaxpr": PROGRAM,
    "ir.plan.Segment.run": "a function",
    "ir.ops.record.Attribute.holds": "a function",
    "client.forms.Form.dtype": DTYPE,
    "executors.mesh_program.Task.kept": "a function",
    "executors.placement.Placement.devices": "devices of JAX",
    "executors.segment.Work.run": "a function",
    "party.exchange.Party._uses": "counts",
    "party.forecast._Play.free": "times",
    "party.forecast._Play.now": "times",
    "party.link.Variable.aval": "a type",
    "party.link.Equation.primitive": PROGRAM,
    "party.link.Equation.params": PROGRAM,
    "party.link.Equation.invars": PROGRAM,
    "party.link.Equation.outvars": PROGRAM,
    "party.link.Equation.effects": PROGRAM,
    "party.link.Equation.source_info": PROGRAM,
    "party.link.Linked.outvars": PROGRAM,
    "extend.operands.Choice.values": "attributes of an op",
    "families.replicated3.protocols.exponent.Node.some": TRACED,
    "families.replicated3.protocols.exponent.Node.place": TRACED,
    "families.replicated3.protocols.radix.Dealt.hot": TRACED,
    "families.replicated3.protocols.radix.Dealt.product": TRACED,
    "families.replicated3.protocols.radix.Dealt.mask": TRACED,
    "runtime.frames.Claim.session": "a hash, which travels in the clear",
    "service.job.Join.ticket": "a name that a client drew for one run",
    "service.peers.PeerLink.certificate": "public",
    "daemon.trial.Trial.processes": "processes",
    "daemon.trial.Trial.followers": "processes",
    "service.uploads.Upload.about": "a hash of what is public",
    "service.uploads.Upload.id": "a name that a client drew",
}


def classes() -> Iterator[type]:
    """Every class of jmpc but of jmpc.testing, whose tools show what they compare."""
    for found in pkgutil.walk_packages(jmpc.__path__, "jmpc."):
        if not found.name.startswith("jmpc.testing"):
            module = importlib.import_module(found.name)
            yield from (c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == found.name)


def shown(found: type) -> list[tuple[str, str]]:
    """The fields that the generated `repr` of a class shows, with their types; none where it has one of its own."""
    if dataclasses.is_dataclass(found):
        generated = hasattr(found.__repr__, "__wrapped__")  # dataclasses guard theirs against recursion
        return [(f.name, str(f.type)) for f in dataclasses.fields(found) if f.repr and generated]
    if issubclass(found, tuple) and hasattr(found, "_fields"):
        return [(name, str(kind)) for name, kind in found.__annotations__.items()]
    return []


def could_show() -> set[str]:
    found = set()
    for one in classes():
        home = one.__module__.removeprefix("jmpc.")
        found |= {f"{home}.{one.__qualname__}.{name}" for name, kind in shown(one) if CAN_HOLD.search(kind)}
    return found


def test_what_can_hold_a_value_is_hidden_or_no_secret() -> None:
    assert could_show() - NO_SECRET.keys() == set()


def test_the_list_of_what_is_no_secret_has_nothing_that_is_gone() -> None:
    assert NO_SECRET.keys() - could_show() == set()


def test_the_check_sees_what_shows_a_value() -> None:
    @dataclasses.dataclass
    class Open:
        array: np.ndarray
        count: int
        hidden: bytes = dataclasses.field(repr=False)

    @dataclasses.dataclass
    class Own:
        array: np.ndarray

        def __repr__(self) -> str:
            return "Own"

    assert shown(Open) == [("array", "np.ndarray"), ("count", "int")]
    assert shown(Own) == []


# --- what lives while programs run


@pytest.fixture(autouse=True)
def _no_older_objects() -> Iterator[None]:
    """Those of other tests hold nothing of this one's, and there are many."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


X = np.float32([31415.9375, -27182.8125])
Y = np.float32([16180.3125, 14142.1875])
TOKEN = "77215.66490"
weights = jmpc.secure(lambda x, y: jnp.maximum(x, y) + x, outputs=jmpc.SECRET)
total = jmpc.secure(lambda h, y: h - y, public=["y"])
named = jmpc.secure(
    lambda x, y, mode: x * 0.5 + y, inputs={"x": "alice", "y": "bob"}, outputs="bob", static_argnames="mode"
)


def texts(array: Any) -> set[str]:
    """What `repr` may print of an array: its elements, if they are telling."""
    values = np.asarray(array).reshape(-1)
    if values.dtype.kind == "f":
        return {str(v)[:8] for v in values.tolist() if abs(v) > 1e4}
    return {str(v) for v in values.tolist() if v > 10**12} if values.dtype == np.uint64 else set()


def secrets_in(held: Any) -> set[str]:
    return set().union(*(texts(a) for a in held)) if held else set()


def objects() -> list[Any]:
    """All objects of jmpc that the collector knows."""
    mine = [o for o in gc.get_objects() if str(type(o).__module__).startswith("jmpc.")]
    return [o for o in mine if not type(o).__module__.startswith("jmpc.testing")]


def check_objects(secrets: set[str]) -> set[str]:
    """Print every object; returns the names of their types."""
    assert secrets
    for o in objects():
        text = repr(o)
        assert not [s for s in secrets if s in text], type(o)
    return {type(o).__name__ for o in objects()}


class Watch:
    """Looks at all objects in the middle of a run, when parties hold shares. threads: how many run segments; while one
    looks, the others wait, since objects that are being made must not be touched."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, threads: int = 1) -> None:
        self.types: set[str] = set()
        self.shares: set[str] = set()
        self._met = threading.Barrier(threads, action=self._look)
        self._looked = threading.local()
        segments = run_module.Run.segments

        def watched(run: Any, group: Any, stores: Sequence[dict[int, Any]], at: Any) -> None:
            segments(run, group, stores, at)
            for store in stores:
                self.shares |= secrets_in([a for a in store.values() if hasattr(a, "dtype")])
            if not hasattr(self._looked, "done"):
                self._looked.done = self._met.wait(60)

        monkeypatch.setattr(run_module.Run, "segments", watched)

    def _look(self) -> None:
        self.types |= check_objects(self.shares | texts(X) | texts(Y) | {TOKEN})


def test_no_object_of_a_local_run_shows_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch)
    handle = weights(X, Y)
    result = total(handle, Y)
    named(X, Y, mode=TOKEN)
    call = named.signature.bind((X, Y), {"mode": TOKEN})
    traced = named.trace(X, Y, mode=TOKEN)
    compiled = traced.lower().compile()
    compiled(X, Y, mode=TOKEN)
    secrets = watch.shares | texts(X) | texts(Y) | texts(result) | {TOKEN} | secrets_in(handle.kept.pieces[0])
    types = check_objects(secrets) | watch.types
    assert {"Call", "Leaf", "SecretArray", "Kept", "Traced", "Lowered", "Compiled", "Run", "Stream"} <= types
    assert "x" in repr(call)
    assert len(watch.shares) > 10


def test_no_object_of_parties_over_channels_shows_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """One party a thread: engines, channels, messages, keys."""
    flow = named.lower(X, Y, mode=TOKEN).flow
    watch = Watch(monkeypatch, threads=3)
    text, channels, keys = program_text(flow.share, flow.schedule), memory_channels(200.0), fresh_keys(3)
    ring = Ring(flow.config.k)
    secret = ring.from_int(np.array([10**14, -(10**14)]))
    inputs = [sharing.share_numbers(secret, PAIR, ring, fresh) for _ in flow.share.body.params]

    def play(party: int) -> list[np.ndarray]:
        engine = PartyEngine(party)
        key = engine.load(text)
        engine.compile(key)
        return engine.run(key, channels[party], keys[party], [a for pieces in inputs for a in pieces[party]])

    with ThreadPoolExecutor(3) as pool:
        held = list(pool.map(play, range(3)))
    assert {"MaskKeys", "MemoryChannel", "PartyEngine", "Plan", "Segment"} <= watch.types
    check_objects(
        watch.shares | set().union(*(secrets_in(h) for h in held)) | {k[peer].hex() for k in keys for peer in k.peers}
    )


def test_errors_show_no_value() -> None:
    for call in (
        lambda: jmpc.secure(lambda x: x + 1)(X * np.float32(1e30)),
        lambda: jmpc.secure(lambda x: x, inputs={"y": "a"}),
        lambda: named.lower(X, Y, mode=TOKEN).compile()(X[:1], Y, mode=TOKEN),
        lambda: named(X, object(), mode=TOKEN),
    ):
        with pytest.raises(jmpc.JMPCError) as caught:
            call()
        assert not [s for s in texts(X) | texts(Y) | {TOKEN} if s in str(caught.value)]
