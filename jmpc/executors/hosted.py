"""One party on several hosts: its head runs programs, and its followers compute their parts of each segment.

In: at the head, all that an engine gets; at a follower, nothing but what its head says. Out: at the head, the results
of the engine of one host, bit for bit.

How this works. All processes run the same plan by the same driver, so that they come to the same segments in the same
order. The head alone has a channel: what it receives in a round it says to the followers, with the inputs and the mask
keys of this one run. A segment is code of one mesh over the devices of all processes: each puts its parts of the
arguments on its devices, and all get the whole results. One run at a time: processes that came to segments of two runs
in different orders would wait for each other for ever. So would parties of which each has another run first: whoever
has this engine must have all of them begin runs in one order (`one_at_a_time`; a service: `service/turns.py`). Programs
are loaded and compiled beside the run, at all hosts.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jmpc import __version__
from jmpc.errors import CheatingDetected, ConfigError, HostError
from jmpc.executors.code_store import Code, CodeStore
from jmpc.executors.engine import PartyEngine, Wire, check_inputs
from jmpc.executors.hosts import Hosts, Word
from jmpc.executors.masks import streams
from jmpc.executors.placement import Placement
from jmpc.executors.run import Post, Run, Store
from jmpc.executors.segment import Placed
from jmpc.ir.plan import Exchange
from jmpc.ring.keys import MASK_KEY_BYTES, MaskKeys

IDLE_S = 5.0  # a collective that waits for longer than a while is given up by the libraries below


class HeadEngine(PartyEngine):
    """As `PartyEngine`, for the process that has the party's identity and links. close: tells the followers to stop.
    Raises HostError, from any call, once a follower is lost."""

    one_at_a_time = True

    def __init__(
        self, party: int, hosts: Hosts, placement: Placement | None = None, store: CodeStore | None = None
    ) -> None:
        super().__init__(party, placement or Placement.over_hosts(), store or _unkept())
        self._hosts, self._turn, self._closed = hosts, threading.Lock(), threading.Event()
        self._loading = threading.Lock()
        self._numbers: dict[int, int] = {}  # by the identity of what was loaded
        self._loaded, self._news = 0, deque[tuple[Word, bytes]]()  # said before the next word, also within a run
        hosts.say(Word.GREET, _about(self.placement))
        threading.Thread(target=self._keep_awake, name="jmpc head", daemon=True).start()

    def load(self, text: str) -> str:
        with self._loading:
            known = set(self.placed)
            key = super().load(text)  # what is no program is refused before anybody hears of it
            if key not in known:
                self._number(self.placed[key])
                self._news.append((Word.LOAD, self.party.to_bytes() + text.encode()))
        if self._turn.acquire(blocking=False):  # else whoever runs says it
            try:
                self._say()
            finally:
                self._turn.release()
        return key

    def _number(self, placed: Placed) -> None:
        """Followers know what is loaded by its number, until nobody here holds it."""
        self._numbers[id(placed)] = self._loaded
        weakref.finalize(placed, self._drop, id(placed), self._loaded)
        self._loaded += 1

    def _drop(self, identity: int, number: int) -> None:
        del self._numbers[identity]
        self._news.append((Word.FORGET, _number_bytes(number)))

    def run_placed(
        self, placed: Placed, channel: Any, mask_keys: MaskKeys, inputs: list[np.ndarray]
    ) -> list[np.ndarray]:
        (plan,) = placed.plans
        check_inputs(plan, inputs)
        self.store.code(placed)  # what cannot be compiled fails here, before anybody has heard of the run
        telling = _Telling(Wire(channel), self._say)
        with self._turn:
            number = _number_bytes(self._numbers[id(placed)])
            self._say(Word.RUN, number + _key_bytes(mask_keys) + _array_bytes(inputs))
            try:
                return _run(placed, _code_together(self._hosts, self.store, placed), mask_keys, telling, inputs)
            except (HostError, CheatingDetected):  # which the followers come to by themselves
                raise
            except BaseException as exc:
                if not telling.aborted:  # they are in a segment, and would take the next word for a part of it
                    self._hosts.lost(f"this one left a run amid a segment, by {type(exc).__name__}")
                raise

    def _say(self, word: Word | None = None, content: bytes = b"") -> None:
        """Whoever has the turn: what is new, and then a word."""
        while self._news:
            self._hosts.say(*self._news.popleft())
        if word is not None:
            self._hosts.say(word, content)

    def _keep_awake(self) -> None:
        while not self._closed.wait(IDLE_S):
            with self._turn:
                try:
                    if not self._closed.is_set():
                        self._say(Word.IDLE)
                except HostError:
                    return  # the next call says so

    def close(self) -> None:
        with self._turn, contextlib.suppress(HostError):  # who is lost needs not be told
            self._closed.set()
            self._say(Word.STOP)
        self._hosts.close()


class _Telling:
    """The rounds of the head: what it gets, the followers hear. aborted: they have heard that the run is over."""

    def __init__(self, wire: Wire, say: Callable[[Word, bytes], None]) -> None:
        self._wire, self._say, self.aborted = wire, say, False

    def round(self, exchanges: Sequence[Exchange], stores: Sequence[Store]) -> None:
        try:
            self._wire.round(exchanges, stores)
        except BaseException:
            with contextlib.suppress(HostError):  # what ended the run is what there is to say
                self._say(Word.ABORT, b"")
                self.aborted = True
            raise
        (exchange,), (store,) = exchanges, stores
        got = [store[m.array] for messages in exchange.receives.values() for m in messages]
        self._say(Word.ROUND, _array_bytes(np.asarray(a) for a in got))


class _Abandoned(Exception):
    """The head gave up the run."""


class _Hearing:
    """The rounds of a follower."""

    def __init__(self, hosts: Hosts, obey: Callable[[Word, bytes], None]) -> None:
        self._hosts, self._obey = hosts, obey

    def round(self, exchanges: Sequence[Exchange], stores: Sequence[Store]) -> None:
        while (heard := self._hosts.hear())[0] != Word.ROUND:
            if heard[0] == Word.ABORT:
                raise _Abandoned
            self._obey(*heard)
        _, content = heard
        (exchange,), (store,) = exchanges, stores
        wanted = [m for messages in exchange.receives.values() for m in messages]
        arrays = _arrays(content, [m.spec for m in wanted])
        store.update(zip((m.array for m in wanted), arrays, strict=True))


class Follower:
    """A process that computes its part of what its head runs. It has no identity, no store and no link to a party."""

    def __init__(self, hosts: Hosts, placement: Placement | None = None, store: CodeStore | None = None) -> None:
        self._hosts, self._store = hosts, store or _unkept()
        self._placement = placement or Placement.over_hosts()
        self._placed: dict[int, Future[Placed]] = {}
        self._loaded = 0
        self._beside = ThreadPoolExecutor(1, "jmpc load")  # the runs: they do not wait for programs of others

    def follow(self) -> None:
        """Until the head says that it is enough. Raises HostError where the head is lost, ConfigError where it is set
        otherwise than this process."""
        while True:
            word, content = self._hosts.hear()
            if word == Word.STOP:
                self._hosts.close()
                return
            self._obey(word, content)

    def _obey(self, word: Word, content: bytes) -> None:
        match word:
            case Word.IDLE:
                pass
            case Word.GREET:
                self._compare(content)
            case Word.LOAD:
                self._placed[self._loaded] = self._beside.submit(self._load, content)
                self._loaded += 1
            case Word.FORGET:
                del self._placed[_number(content)]
            case Word.RUN:
                self._run(content)
            case _:
                raise AssertionError(word)

    def _compare(self, content: bytes) -> None:
        mine, theirs = _about(self._placement).decode(), content.decode("utf-8", "replace")
        if mine != theirs:
            raise ConfigError(
                "this host is not set as the head of its party",
                where=self._hosts.order.said,
                why=f"here: {mine}; at the head: {theirs}",
                todo="install the same versions on all hosts, and give them the same devices and platform",
            )

    def _load(self, content: bytes) -> Placed:
        engine = PartyEngine(content[0], self._placement, self._store)
        key = engine.load(content[1:].decode())
        engine.compile(key)
        return engine.placed[key]

    def _run(self, content: bytes) -> None:
        placed = self._placed[_number(content)].result()
        (plan,) = placed.plans
        keys, rest = _keys(content[_NUMBER_BYTES:])
        inputs = _arrays(rest, plan.input_specs)
        with contextlib.suppress(_Abandoned, CheatingDetected):  # the head says why, to whom it concerns
            _run(
                placed,
                _code_together(self._hosts, self._store, placed),
                keys,
                _Hearing(self._hosts, self._obey),
                inputs,
            )


def _unkept() -> CodeStore:
    """Code of several hosts is compiled anew in each process."""
    return CodeStore(folder=lambda: None)


def _about(placement: Placement) -> bytes:
    """What all hosts of a party must have alike."""
    return f"jmpc {__version__}, JAX {jax.__version__}, {placement.listed}".encode()


def _run(placed: Placed, code: Code, keys: MaskKeys, post: Post, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What head and followers do alike."""
    (plan,) = placed.plans
    (held,) = Run(placed, code, [streams(plan, keys, placed.prf, placed.inside)], post)([inputs])
    return [np.asarray(a) for a in held]


def _code_together(hosts: Hosts, store: CodeStore, placed: Placed) -> Code:
    """The code of a plan, once all processes have it; each piece runs at all of them at once."""
    found = {names: _Together(hosts, code) for names, code in store.code(placed).items()}
    hosts.meet()
    return found


class _Together:
    """An executable of all hosts."""

    def __init__(self, hosts: Hosts, code: Callable[..., Any]) -> None:
        self._hosts, self._code = hosts, code

    def __call__(self, *arguments: Any) -> Any:
        return self._hosts.together(lambda: self._code(*arguments))


_NUMBER_BYTES = 8


def _number_bytes(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES)


def _number(content: bytes) -> int:
    return int.from_bytes(content[:_NUMBER_BYTES])


def _key_bytes(keys: MaskKeys) -> bytes:
    return bytes([len(keys.peers)]) + b"".join(bytes([peer]) + keys[peer] for peer in keys.peers)


def _keys(content: bytes) -> tuple[MaskKeys, bytes]:
    """The mask keys at the front, and the rest."""
    wide = 1 + MASK_KEY_BYTES
    last = 1 + content[0] * wide
    rows = [content[at : at + wide] for at in range(1, last, wide)]
    return MaskKeys({row[0]: row[1:] for row in rows}), content[last:]


def _array_bytes(arrays: Iterable[np.ndarray]) -> bytes:
    return b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)


def _arrays(content: bytes, specs: Iterable[tuple[tuple[int, ...], Any]]) -> list[np.ndarray]:
    found, at = list[np.ndarray](), 0
    for shape, dtype in specs:
        count = int(np.prod(shape, dtype=np.int64))
        found.append(np.frombuffer(content, dtype, count, at).reshape(shape))
        at += found[-1].nbytes
    assert at == len(content), "the head says arrays of other sizes"
    return found
