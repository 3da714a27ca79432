"""A mapping that keeps what was used last, beside a plain list that is kept in order of use."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.recent import Recent

USES = st.lists(st.tuples(st.sampled_from(["put", "get", "pop"]), st.integers(0, 7), st.integers()), max_size=60)


@given(limit=st.integers(1, 5), uses=USES)
def test_it_is_what_was_used_last(limit: int, uses: list[tuple[str, int, int]]) -> None:
    kept, model = Recent[int, int](limit), dict[int, int]()
    for what, key, value in uses:
        if what == "put":
            model.pop(key, None)
            model[key] = value
            gone = [model.pop(next(iter(model)))] if len(model) > limit else []
            assert kept.put(key, value) == gone
        elif what == "pop":
            assert kept.pop(key) == model.pop(key, None)
        else:
            keys = [key, value % 8]
            assert kept.get_all(keys) == [model.get(k) for k in keys]
            assert kept.get(key) == model.get(key)
            model.update({k: model.pop(k) for k in (*keys, key) if k in model})
        assert list(kept) == list(model.values())
        assert len(kept) == len(model) <= limit
        assert all(k in kept for k in model)
    assert repr(kept) == f"Recent({len(model)} of {limit})"
    kept.clear()
    assert list(kept) == []


def test_threads_share_it() -> None:
    kept = Recent[int, int](8)

    def use(n: int) -> bool:
        kept.put(n % 16, n % 16)
        found = kept.get((n + 3) % 16)
        return found in (None, (n + 3) % 16) and len(kept) <= 8

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(4000)))
    assert len(kept) == 8


def test_it_keeps_one_at_least() -> None:
    with pytest.raises(ValueError, match="at least"):
        Recent(0)
