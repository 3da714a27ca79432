"""What a stranger, a client or a peer may send, changed at random: only typed errors come of it, and little memory.

What goes in: a seed, how many inputs. What comes out: how many were refused and how many were taken, and each exception
that is not the one that is right there. All of it is in this process, and opens no socket.
"""

from __future__ import annotations

import random
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgpack

from jmpc import families
from jmpc.errors import FrameError, PeerError, ProgramError
from jmpc.executors.engine import PartyEngine, program_text
from jmpc.executors.placement import Placement
from jmpc.party.program import input_type
from jmpc.runtime.contents import Contents, Leaf
from jmpc.runtime.frames import HEADER_BYTES, FrameReader, FrameWriter
from jmpc.runtime.messages import Vocabulary, decode
from jmpc.runtime.pairing import PairSecret
from jmpc.runtime.requests import NEVER, PROTOCOL, REQUESTS
from jmpc.runtime.schema import SchemaError
from jmpc.service import lines
from jmpc.service.words import GREETING, PEERS
from tests.faults.programs import program

HUGE = (
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff",
    b"\xcf\x10\x00\x00\x00\x00\x00\x00\x00", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", b"\xc9\xff\xff\xff\xff\x01",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", b"\x91" * 2000, b"\x81\xa1a" * 700, b"\xc0", b"\xc2", b"\xa0",
)  # fmt: skip
WORDS = ("1152921504606846976", "-1", "[", "]", "{", "}", '"', "\\u0000", "nan", "1e999", "(", ")", "<", ">", "%", "\n",
         "[[[[[[[[", "x" * 300, "0" * 30, "secret", "4611686018427387904x4611686018427387904")  # fmt: skip
HASH, DIGEST = "0123456789abcdef" * 4, b"d" * 32


@dataclass(frozen=True)
class Target:
    """good: inputs that are right.  read: takes one, and raises one of `errors` where it is wrong.  weight: how many of
    them, for each of the others."""

    good: Sequence[bytes]
    read: Callable[[bytes], object]
    errors: tuple[type[Exception], ...]
    weight: float = 1.0


def packed(kind: str, fields: dict[str, Any]) -> bytes:
    return msgpack.packb([kind, fields])


def contents() -> str:
    flow = program("relu_product").flow
    leaves = tuple(Leaf(f"['w'][{n}]", "float32", input_type(v.type)) for n, v in enumerate(flow.share.body.params))
    return Contents("aby3", 64, 18, leaves, "a tree", ("alice", "bob")).text


def requests() -> list[bytes]:
    value = {"name": "rows", "owner": "alice", "version": 3, "created": 1, "expires": NEVER, "bytes": 10}
    value |= {"consents": [["alice", HASH]], "receivers": ["bob"]}
    keep = [["model", contents(), [0], NEVER]]
    join = {"label": "call", "ticket": b"t" * 16, "program": HASH, "sent": [0, 1], "bytes": 64}
    join |= {"keys": [["arith", 0, b"k" * 16], ["arith", 1, b"l" * 16]]}
    join |= {"stored": [[0, "rows", 0, 0]], "keep": keep, "leave": [], "detached": False}
    put = {"upload": b"u" * 16, "name": "rows", "contents": contents(), "programs": [HASH], "expires": NEVER}
    failed = {"error": "PeerError", "what": "w", "where": "x", "why": "y", "todo": ["z"], "phase": "run", "round": -1}
    failed |= {"peer": "party 1", "relayed": False}
    return [
        packed("hello", {"protocol": PROTOCOL, "version": "1", "roster": HASH, "party": -1}),
        packed("load", {"bytes": 100}),
        packed("join", join),
        packed("put", put),
        packed("chunk", {"part": 0, "bytes": 100}),
        packed("commit", {"upload": b"u" * 16}),
        packed("listed", {"entries": [list(value.values())], "more": True}),
        packed("described", {**value, "contents": contents()}),
        packed("amend", {"name": "rows", "allow": [HASH], "forbid": [], "expires": -2}),
        packed("failed", failed),
    ]


def peers() -> list[bytes]:
    offer = {
        "session": DIGEST,
        "roster": DIGEST,
        "program": DIGEST,
        "stored": DIGEST,
        "public": DIGEST,
        "results": DIGEST,
    }
    offer |= {"overlap": DIGEST, "contribution": DIGEST, "line": -1, "version": 1, "created": 1}
    abort = {"session": DIGEST, "error": "PeerError", "phase": "run", "round": 3, "peer": "party 1"}
    upload = {"upload": b"u" * 16, "about": DIGEST, "version": 1, "created": 1}
    verdict = {"upload": b"u" * 16, "accepted": True}
    return [packed("offer", offer), packed("abort", abort), packed("upload", upload), packed("verdict", verdict)]


def greeting() -> list[bytes]:
    hello = {"protocol": 1, "version": "1", "roster": HASH, "party": 1, "nonce": DIGEST, "x25519": DIGEST}
    return [packed("hello", {**hello, "kem": b"k" * 1184, "sessions": 8})]


def reads(words: Vocabulary) -> Callable[[bytes], object]:
    return partial(decode, kinds=list(words.schemas), words=words)


class _Bytes:
    """A socket that has some bytes, and then ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int) -> bytes:
        found, self._data = self._data[:size], self._data[size:]
        return found

    def close(self) -> None: ...


class _Hello:
    """A new party's lines each time: what passes has the tag of its link."""

    secret = PairSecret(b"s" * 32, False)

    def __call__(self, data: bytes) -> None:
        def admit(sender: int, receiver: int, number: int, tag: bytes, _: Any) -> bool:
            right = lines.hello(self.secret, sender, receiver, number)[-16:]
            return (sender, receiver) == (0, 1) and tag == right

        for _ in lines.arriving(_Bytes(data), admit):  # type: ignore[arg-type]
            pass


class _Frames:
    """One direction of a session; each input is what comes in the place of its next frame."""

    KEY, SESSION, SIZE = b"k" * 16, b"session", 40

    def good(self) -> bytes:
        out = memoryview(bytearray(self.SIZE + HEADER_BYTES + 16))
        FrameWriter(self.KEY, self.SESSION, 0, 1).seal(3, True, bytes(self.SIZE), out)
        return bytes(out)

    def __call__(self, data: bytes) -> None:
        reader = FrameReader(self.KEY, self.SESSION, 0, 1)
        expected = reader.expect(3, True, self.SIZE)
        whole = data[: len(self.good())].ljust(HEADER_BYTES + self.SIZE + 16, b"\0")
        reader.check(whole[:HEADER_BYTES], expected)
        reader.open(expected, memoryview(whole)[HEADER_BYTES:], memoryview(bytearray(self.SIZE)))
        assert whole == self.good()


def read_contents(data: bytes) -> None:
    found = Contents.of(data.decode("utf-8", "replace"))
    assert Contents.of(found.text) == found
    found.parts(families.FAMILIES[found.protocol], 0)


def targets() -> dict[str, Target]:
    frames = _Frames()
    flow = program("relu_product").flow
    engine = PartyEngine(0, Placement.here())

    def load(data: bytes) -> None:
        engine.unload(engine.load(data.decode("ascii", "replace")))

    hello = lines.hello(_Hello.secret, 0, 1, 7)
    return {
        "requests": Target(requests(), reads(REQUESTS), (SchemaError,), 2.0),
        "greeting": Target(greeting(), reads(GREETING), (SchemaError,)),
        "peers": Target(peers(), reads(PEERS), (SchemaError,)),
        "line hellos": Target([hello], _Hello(), (PeerError,)),
        "frames": Target([frames.good()], frames, (FrameError,)),
        "contents": Target([contents().encode()], read_contents, (SchemaError, ProgramError), 0.2),
        "programs": Target([program_text(flow.share, flow.schedule).encode()], load, (ProgramError,), 0.02),
    }


def changed(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Something else, near what is right."""
    out = bytearray(data)
    for _ in range(1 + (draw.random() < 0.3) + (draw.random() < 0.1)):
        at = draw.randrange(len(out) + 1)
        choice = draw.randrange(9)
        if choice == 0 and at < len(out):
            out[at] ^= 1 << draw.randrange(8)
        elif choice == 1:
            del out[at:]
        elif choice == 2:
            out[at:at] = draw.choice(HUGE)
        elif choice == 3:
            out[at : at + draw.randrange(1, 10)] = draw.choice(HUGE)
        elif choice == 4:
            out[at:at] = draw.choice(WORDS).encode()
        elif choice == 5:
            del out[at : at + draw.randrange(1, 20)]
        elif choice == 6:
            other = draw.choice(others)
            out[at:] = other[draw.randrange(len(other)) :]
        elif choice == 7 and at < len(out):
            out[at] = draw.randrange(256)
        else:
            out[at:at] = draw.randbytes(draw.randrange(1, 12))
    return bytes(out)


@dataclass
class Counts:
    inputs: int = 0
    ended: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    grown_mib: float = 0.0
    wrong: list[str] = field(default_factory=list[str])


def one(name: str, target: Target, data: bytes, counts: Counts) -> None:
    counts.inputs += 1
    ended = counts.ended.setdefault(name, Counter())
    try:
        target.read(data)
        ended["taken"] += 1
    except target.errors:
        ended["refused"] += 1
    except Exception as exc:
        where = traceback.extract_tb(exc.__traceback__)[-1]
        ended[type(exc).__name__] += 1
        if ended[type(exc).__name__] == 1:
            counts.wrong.append(f"{name}: {type(exc).__name__} at {where.filename}:{where.lineno} of {data[:2000]!r}")


def schedule(found: dict[str, Target], count: int, draw: random.Random) -> Iterator[str]:
    names = list(found)
    weights = [found[name].weight for name in names]
    for start in range(0, count, 10_000):
        yield from draw.choices(names, weights, k=min(10_000, count - start))


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def run(count: int, seed: int = 0) -> Counts:
    """So many inputs. What grows is measured after the first tenth of them."""
    counts, draw, found = Counts(), random.Random(seed), targets()
    for name, target in found.items():
        for data in target.good:
            if name != "drivers":
                target.read(data)  # what is right is taken
    began, resident = time.monotonic(), 0.0
    for at, name in enumerate(schedule(found, count, draw)):
        if at == count // 10:
            resident = resident_mib()
        target = found[name]
        one(name, target, changed(draw.choice(target.good), target.good, draw), counts)
        if at % 1_000_000 == 999_999:
            print(f"  {at + 1:,} inputs, {time.monotonic() - began:.0f} s, {len(counts.wrong)} wrong", flush=True)
    counts.grown_mib = resident_mib() - resident
    if counts.grown_mib > 50:
        counts.wrong.append(f"memory grew by {counts.grown_mib:.0f} MiB")
    return counts
