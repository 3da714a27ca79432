"""Counts of bytes, as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.sizes import size_of, size_text


@pytest.mark.parametrize(
    ("text", "count"),
    [("0 B", 0), ("64 MiB", 64 << 20), ("1.5KiB", 1536), ("1 TiB", 1 << 40), ("0.001 GiB", 1073742), ("7 B", 7)],
)
def test_a_size_is_read(text: str, count: int) -> None:
    assert size_of(text) == count


@pytest.mark.parametrize("text", ["", "64", "64 MB", "-1 B", "1e3 B", "1 kib", "64 MiB ", "1.5.2 B", "٣ B", "B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a number and a unit"):
        size_of(text)


@given(st.integers(0, 999 << 30))
def test_what_is_written_is_read_to_four_digits(count: int) -> None:
    assert size_of(size_text(count)) == pytest.approx(count, rel=1e-3)
