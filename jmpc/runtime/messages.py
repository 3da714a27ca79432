"""Every control message: its kind, its fields, and their encoding.

In: a kind and plain fields. Out: a msgpack list [kind, fields], and back, checked strictly both ways.
Large data (a program's text, arrays) follows a message as raw bytes, whose sizes the message declares.
This file reads no socket.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from jmpc.runtime.schema import (
    Check,
    SchemaError,
    boolean,
    check_fields,
    integer,
    is_list,
    many,
    text,
)

MESSAGE_BYTES = 1 << 20
TEXT_BYTES = 1 << 28
ARRAYS_BYTES = 1 << 34  # all arrays of one message together
SESSION_BYTES = 32

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


@dataclass(frozen=True)
class Vocabulary:
    """What two ends of a link may say: the fields of each kind of message, and how long a message may be."""

    schemas: Mapping[str, Mapping[str, Check]]
    most_bytes: int = MESSAGE_BYTES


def encode(kind: str, fields: Mapping[str, Any], words: Vocabulary) -> bytes:
    """A message as bytes; a message that we could not read ourselves is refused."""
    check_fields(dict(fields), words.schemas[kind], kind)
    payload = msgpack.packb([kind, dict(fields)], use_bin_type=True)
    if len(payload) > words.most_bytes:
        raise SchemaError(f"{kind} is too long")
    return payload


def size_of(value: object) -> int:
    """Bytes that a value has in a message."""
    return len(msgpack.packb(value, use_bin_type=True))


def decode(payload: bytes | bytearray, kinds: Sequence[str], words: Vocabulary) -> tuple[str, dict[str, Any]]:
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
