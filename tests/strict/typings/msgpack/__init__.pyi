"""What jmpc uses of msgpack, which says no types of its own."""

from collections.abc import Callable
from typing import Any

from msgpack import exceptions as exceptions

def packb(o: object, *, use_bin_type: bool = ...) -> bytes: ...
def unpackb(
    packed: bytes | bytearray,
    *,
    raw: bool = ...,
    strict_map_key: bool = ...,
    max_ext_len: int = ...,
    object_pairs_hook: Callable[[list[tuple[Any, Any]]], object] | None = ...,
    ext_hook: Callable[[int, bytes], object] = ...,
) -> Any: ...
