"""Frames: what is sealed opens, and nothing else does."""

from __future__ import annotations

import select
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc.errors import FrameError
from jmpc.runtime.frames import (
    FRAME_BYTES,
    HEADER_BYTES,
    OVERHEAD_BYTES,
    FrameReader,
    FrameWriter,
    claimed,
    cut,
    session_tag,
)

from .helpers import bulk_link, tcp_pair

KEY, SESSION = b"k" * 16, b"s" * 32
GOLDEN = (  # session, version, sender, receiver, final, length, round, sequence | ciphertext, tag
    "19ea88ede7514c62f947009b4114cd76" "01" "00" "01" "01" "03000000" "03000000" "0000000000000000"
    "a35d5d" "522b697bc666ca3ec31519629324d31d"
)  # fmt: skip
quick = settings(max_examples=60, deadline=None, derandomize=True)


def ends(session: bytes = SESSION) -> tuple[FrameWriter, FrameReader]:
    return FrameWriter(KEY, session, 0, 1), FrameReader(KEY, session, 0, 1)


def seal(writer: FrameWriter, data: bytes, round_no: int = 0, final: bool = True) -> bytes:
    out = memoryview(bytearray(len(data) + OVERHEAD_BYTES))
    assert writer.seal(round_no, final, data, out) == len(out)
    return bytes(out)


def unseal(reader: FrameReader, frame: bytes, length: int, round_no: int = 0, final: bool = True) -> bytes:
    expected = reader.expect(round_no, final, length)
    reader.check(frame[:HEADER_BYTES], expected)
    out = bytearray(length)
    reader.open(expected, memoryview(frame)[HEADER_BYTES:], memoryview(out))
    return bytes(out)


@quick
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(0, 2**32 - 2))
def test_frames_round_trip(bodies: list[bytes], round_no: int) -> None:
    writer, reader = ends()
    for body in bodies:
        assert unseal(reader, seal(writer, body, round_no), len(body), round_no) == body


def test_the_format_on_the_wire_is_fixed() -> None:
    """Two versions of the library that call themselves the same must cut and write alike."""
    frame = seal(ends()[0], b"abc", 3)
    assert frame.hex() == GOLDEN
    assert claimed(frame[:HEADER_BYTES]) == (session_tag(SESSION), 0, 1, 3, 3)
    assert len(session_tag(SESSION)) == 16
    assert cut([300 * 1024]) == [[(0, 0, 256 * 1024)], [(0, 256 * 1024, 300 * 1024)]]
    assert FRAME_BYTES == 256 * 1024


def test_the_ciphertext_hides_the_data() -> None:
    assert b"A" * 8 not in seal(ends()[0], b"A" * 64)


def test_every_one_byte_corruption_is_refused() -> None:
    frame = seal(ends()[0], b"twenty bytes of data")
    for index in range(len(frame)):
        bad = bytearray(frame)
        bad[index] ^= 1 << (index % 8)
        with pytest.raises(FrameError):
            unseal(ends()[1], bytes(bad), 20)
    assert unseal(ends()[1], frame, 20) == b"twenty bytes of data"


def test_every_truncation_is_refused() -> None:
    frame = seal(ends()[0], b"data" * 5)
    for size in range(HEADER_BYTES, len(frame)):
        with pytest.raises((FrameError, ValueError)):
            unseal(ends()[1], frame[:size], 20)


def test_a_replay_and_a_reorder_are_refused_by_sequence() -> None:
    writer, reader = ends()
    first, second = seal(writer, b"one"), seal(writer, b"two")
    with pytest.raises(FrameError, match="sequence"):
        unseal(reader, second, 3)
    assert unseal(reader, first, 3) == b"one"
    with pytest.raises(FrameError, match="sequence"):
        unseal(reader, first, 3)


def test_a_frame_of_another_session_is_refused_even_under_the_same_key() -> None:
    with pytest.raises(FrameError, match="session"):
        unseal(ends()[1], seal(ends(b"t" * 32)[0], b"one"), 3)


def test_a_reflected_frame_is_refused() -> None:
    writer, reader = FrameWriter(KEY, SESSION, 1, 0), FrameReader(KEY, SESSION, 0, 1)
    with pytest.raises(FrameError, match="sender and receiver"):
        unseal(reader, seal(writer, b"one"), 3)


@pytest.mark.parametrize(
    ("field", "round_no", "final", "length"), [("round", 1, True, 3), ("final", 0, False, 3), ("length", 0, True, 4)]
)
def test_a_frame_that_the_plan_does_not_expect_is_refused(field: str, round_no: int, final: bool, length: int) -> None:
    with pytest.raises(FrameError, match=field):
        unseal(ends()[1], seal(ends()[0], b"one"), length, round_no, final)


def test_a_header_changed_together_with_the_expectation_fails_the_tag() -> None:
    frame = bytearray(seal(ends()[0], b"one"))
    frame[HEADER_BYTES - 12] ^= 1  # the round: the reader is made to expect it, so only the tag can tell
    reader = ends()[1]
    round_no = int.from_bytes(frame[24:28], "little")
    with pytest.raises(FrameError, match="authentic"):
        unseal(reader, bytes(frame), 3, round_no)


def test_a_huge_declared_length_allocates_nothing() -> None:
    attacker, sock = tcp_pair()
    with attacker, sock:
        link = bulk_link(sock, 1, 0)
        link.begin_receive(0, [np.empty(16, np.uint8)])
        header = bytearray(link._header)
        header[20:24] = (2**32 - 1).to_bytes(4, "little")
        attacker.sendall(header)
        tracemalloc.start()
        try:
            select.select([sock], [], [], 5)
            with pytest.raises(FrameError, match="length"):
                link.pump_receive()
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


@quick
@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 16))
def test_cut_covers_every_byte_once_in_order(sizes: list[int], limit: int) -> None:
    frames = cut(sizes, limit)
    assert all(0 < sum(stop - start for _, start, stop in frame) <= limit for frame in frames)
    pieces = [piece for frame in frames for piece in frame]
    covered = [(index, byte) for index, start, stop in pieces for byte in range(start, stop)]
    assert covered == [(index, byte) for index, size in enumerate(sizes) for byte in range(size)]


def test_a_key_has_an_end() -> None:
    writer, _ = ends()
    writer.sequence = 2**32
    with pytest.raises(FrameError, match="too long"):
        seal(writer, b"one")


def test_no_key_in_a_repr() -> None:
    assert "k" * 4 not in repr(ends())
    assert FRAME_BYTES + OVERHEAD_BYTES < 2**32 - 1
