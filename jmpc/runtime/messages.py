"""Every control message: its kind, its fields, and their encoding.

In: a kind and plain fields. Out: a msgpack list [kind, fields], and back, checked strictly both ways.
Large data (a program's text, arrays) follows a message as raw bytes, whose sizes the message declares.
This file reads no socket.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from jmpc.runtime.identity import MOST_PARTIES
from jmpc.runtime.keys import CONTRIBUTION_BYTES
from jmpc.runtime.schema import (
    Check,
    SchemaError,
    binary,
    boolean,
    check_fields,
    integer,
    is_list,
    many,
    number,
    row,
    text,
)

MESSAGE_BYTES = 1 << 20
TEXT_BYTES = 1 << 28
ARRAYS_BYTES = 1 << 34  # all arrays of one message together
SESSION_BYTES = 32
DTYPES = {code: np.dtype(f"<{code}") for code in ("u1", "u2", "u4", "u8")}

_COUNT = integer(0, 2**62)
_BY_PEER = many(row(integer(0, MOST_PARTIES - 1), _COUNT), MOST_PARTIES - 1)
_EPOCH = integer(0, 2**53)
_SHAPE = many(integer(0, 2**40), 32)
_DTYPE = text(2, "u[1248]")
_HASH = text(64, "[0-9a-f]{64}")
_HANDLE = text(200, ".+")
_NO_HASH_YET = text(64, "([0-9a-f]{64})?")

FAILURE: dict[str, Check] = {
    "error": text(64, r"\w+"),
    "what": text(2000),
    "where": text(2000),
    "why": text(2000),
    "todo": many(text(500), 8),
    "phase": text(64),
    "round": integer(-1, 2**32),
    "peer": text(64),
    "relayed": boolean,
}
TERMS: dict[str, Check] = {
    "protocol": integer(0, 2**31),
    "version": text(64),
    "config": _HASH,
    "roster": _HASH,
    "epoch": _EPOCH,
    "session": binary(SESSION_BYTES),
    "program": _NO_HASH_YET,
}
SCHEMAS: dict[str, dict[str, Check]] = {
    # both ways, first on every link
    "hello": TERMS,
    # party to party, in a session
    "offer": {**TERMS, "contribution": binary(CONTRIBUTION_BYTES), "bulk": boolean},
    # party to party and driver to party
    "abort": {
        "epoch": _EPOCH,
        "error": text(64, r"\w+"),
        "phase": text(64),
        "round": integer(-1, 2**32),
        "peer": text(64),
    },
    # driver to party
    "load": {"bytes": integer(0, TEXT_BYTES)},
    "compile": {"program": _HASH},
    "run": {
        "epoch": _EPOCH,
        "session": binary(SESSION_BYTES),
        "program": _HASH,
        "inputs": many(row(text(200), text(2, "(u[1248])?"), _SHAPE), 100_000),  # handle or "", dtype, shape
        "keep": many(row(integer(0, 100_000), _HANDLE), 100_000),
    },
    "deliver": {"epoch": _EPOCH},
    "drop": {"handle": _HANDLE},
    "unload": {"program": _HASH},
    # party to driver
    "ready": {},
    "loaded": {"program": _HASH},
    "compiled": {},
    "done": {
        "epoch": _EPOCH,
        "seconds": number,
        "rounds": _COUNT,
        "sent": _BY_PEER,
        "received": _BY_PEER,
        "outputs": many(row(_DTYPE, _SHAPE), 100_000),
    },
    "dropped": {},
    "unloaded": {},
    "failed": FAILURE,
}


@dataclass(frozen=True)
class Vocabulary:
    """What two ends of a link may say: the fields of each kind of message, and how long a message may be."""

    schemas: Mapping[str, Mapping[str, Check]]
    most_bytes: int = MESSAGE_BYTES


DRIVERS = Vocabulary(SCHEMAS)


def encode(kind: str, fields: Mapping[str, Any], words: Vocabulary = DRIVERS) -> bytes:
    """A message as bytes; a message that we could not read ourselves is refused."""
    check_fields(dict(fields), words.schemas[kind], kind)
    payload = msgpack.packb([kind, dict(fields)], use_bin_type=True)
    if len(payload) > words.most_bytes:
        raise SchemaError(f"{kind} is too long")
    return payload


def decode(payload: bytes | bytearray, kinds: Sequence[str], words: Vocabulary = DRIVERS) -> tuple[str, dict[str, Any]]:
    """The message in `payload`, which must be of one of `kinds`."""
    if len(payload) > words.most_bytes:
        raise SchemaError("a message is too long")
    try:
        value = msgpack.unpackb(
            payload, raw=False, strict_map_key=True, max_ext_len=0, object_pairs_hook=_unique, ext_hook=_no_extension
        )
    except SchemaError:
        raise
    except Exception as exc:  # msgpack raises plain ValueError, its own classes, and Unicode errors.
        raise SchemaError("a message is not msgpack") from exc
    kind, fields = value if is_list(value) and len(value) == 2 else (None, None)
    if type(kind) is not str:
        raise SchemaError("a message is not [kind, fields]")
    if kind not in kinds:
        raise SchemaError("a message of this kind is not expected here")
    return kind, check_fields(fields, words.schemas[kind], kind)


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """msgpack keeps the last of two equal keys without a word; two readers might not agree on that."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise SchemaError("a key comes twice")
    return fields


def _no_extension(code: int, data: bytes) -> Any:
    raise SchemaError("an extension type is not allowed")


def describe(array: np.ndarray) -> list[Any]:
    """[dtype, shape] of an array that travels after a message."""
    code = f"u{array.dtype.itemsize}"
    if array.dtype.kind != "u" or code not in DTYPES:
        raise TypeError("arrays between driver and parties are unsigned integers of 8, 16, 32 or 64 bits")
    return [code, list(array.shape)]


def sizes_checked(specs: Sequence[tuple[str, Sequence[int]]]) -> list[tuple[tuple[int, ...], np.dtype]]:
    """Shapes and dtypes of declared arrays, refused if together they pass the limit."""
    described = [(tuple(shape), DTYPES[code]) for code, shape in specs]
    if sum(math.prod(shape) * dtype.itemsize for shape, dtype in described) > ARRAYS_BYTES:
        raise SchemaError("the declared arrays are too large")
    return described
