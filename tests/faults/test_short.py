"""The long runs of `python -m tests.faults`, a few cases of each; and what they look with finds what is planted."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from jmpc.testing.faults.plan import Fault
from tests.faults import canary, flood, frames, fuzz, kill, soak, stall, timing, truncations
from tests.faults.house import House
from tests.faults.processes import repeats
from tests.faults.programs import program
from tests.faults.scan import needles, scan

ONE = ["relu_product"]


def test_faults_on_frames() -> None:
    counts = frames.run(ONE, jobs=1, every=11)
    assert counts.wrong == []
    assert counts.cases >= 14
    assert counts.ended["a typed error"] >= 12


def test_a_frame_that_comes_twice_at_the_end_is_refused_by_the_next_session_at_the_latest(tmp_path: Path) -> None:
    with House(tmp_path, 10.0) as house:
        p = program("relu_product")
        (sender, receiver), last = max(house.frames(p), key=lambda frame: frame[1])
        end = house.under(p, Fault("repeat", sender, receiver, last))
        assert not end.failures
        _, why = house.again(p, tries=2)
        assert why == ""


def test_parties_are_killed() -> None:
    counts = kill.run(ONE, every=9)
    assert counts.wrong == []
    assert counts.cases >= 2
    assert counts.sessions >= 6


def test_parties_stall_and_networks_are_cut() -> None:
    counts = stall.run(ONE, every=12)
    assert counts.wrong == []
    assert counts.cases >= 2


def test_what_others_send_is_read_or_refused() -> None:
    counts = fuzz.run(200_000)
    assert counts.wrong == []
    assert all(ended["taken"] and ended["refused"] for ended in counts.ended.values()), counts.ended


def test_sessions_one_after_the_other_leave_nothing() -> None:
    counts = soak.run(90)
    assert counts.wrong == []
    assert counts.restarts >= 8
    assert counts.blocks > 90 * 3 * 3


def test_strangers_neither_break_nor_stop_a_party() -> None:
    counts = flood.run(half_open=60, bad=300)
    assert counts.wrong == []
    assert counts.calls
    assert counts.newcomers


def test_markers_stand_in_nothing_that_parties_write(tmp_path: Path) -> None:
    counts = canary.run(tmp_path, ["flip", "splice"])
    assert counts.wrong == []
    assert counts.errors >= 80
    assert counts.files >= 20


def test_products_are_rounded_to_a_number_beside_them() -> None:
    counts = truncations.run(1_000_000)
    assert counts.wrong == []
    assert counts.products >= 2_000_000


# What the runs look with.


def test_a_difference_of_time_is_found_and_noise_is_none() -> None:
    draw = np.random.default_rng(0)
    one, other = draw.gamma(4, 1, 5000), draw.gamma(4, 1, 5000)
    assert abs(timing.welch(one, other)) < timing.MOST < abs(timing.welch(one, other + 0.4))
    turns: list[bool] = []
    assert np.isfinite(timing.t_of(turns.append, 200, draw))
    assert len(turns) == 200
    assert 0 < sum(turns) < 200


@pytest.mark.parametrize("bad", ["TypeError", "ValueError"])
def test_fuzzing_finds_an_error_of_another_type(bad: str) -> None:
    def read(data: bytes) -> None:
        raise {"TypeError": TypeError, "ValueError": ValueError}[bad]("no")

    counts = fuzz.Counts()
    fuzz.one("planted", fuzz.Target([b"x"], read, (KeyError,)), b"y", counts)
    assert bad in counts.wrong[0]


def test_a_marker_is_found_however_it_is_written(tmp_path: Path) -> None:
    share = np.array([0x1234567890ABCDEF], np.uint64)
    wanted = needles([1234.56789], [share], 18)
    raw = share.tobytes()
    planted = [raw, raw[::-1], raw.hex().encode(), raw.hex().upper().encode(), str(int(share[0])).encode()]
    planted += [np.float64(1234.56789).tobytes(), b"x=1234.56789", str(round(1234.56789 * 2**18)).encode()]
    planted += [base64.b64encode(b"?" * n + raw + b"!!") for n in range(3)]
    for number, content in enumerate(planted):
        (tmp_path / "file").write_bytes(b"before " + content + b" after")
        files, found = scan([tmp_path], wanted)
        assert files == 1
        assert found, (number, content)
    (tmp_path / "file").write_bytes(b"nothing")
    assert scan([tmp_path], wanted) == (1, [])


def test_blocks_and_keys_that_come_twice_are_found(tmp_path: Path) -> None:
    blocks = soak.Blocks(tmp_path / "blocks")
    blocks.words = 4
    blocks.keys(0, 1, b"a" * 32, b"b" * 32, b"session", "0" * 64)
    assert blocks.repeated() == (5, 0)
    blocks.keys(0, 1, b"a" * 32, b"b" * 32, b"session", "0" * 64)
    assert blocks.repeated() == (10, 5)
    blocks.close()
    line = {"event": "keys", "session": "s", "me": 0, "pair": [0, 1], "mask": "m", "send": "t"}
    assert repeats([line]) == []
    assert len(repeats([line, {**line, "session": "r", "send": "u"}])) == 1
    assert len(repeats([line, line])) == 2
