"""The report of a cost, by hand: what each party sends and gets, loops, ops and lines, and the text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from jmpc.config import NETWORKS, Config
from jmpc.errors import ConfigError
from jmpc.ir.plan import Exchange, Loop, Message, Plan, Step
from jmpc.ir.program import Program, Value
from jmpc.ir.types import INFERRED, Type, secret_fixed
from jmpc.party.report import CostReport, cost_report
from jmpc.testing.draw.ir_programs import Maker, finish

U64 = np.dtype(np.uint64)
SPECS = (((3,), U64), ((2, 2), np.dtype(np.uint8)))  # 24 and 4 bytes


def message(size: int, op: str = "and", loc: str = "f.py:1") -> Message:
    return Message(0, ((size,), U64), (0, 0), op, loc)


def plan(party: int, *steps: Step, specs: Any = SPECS) -> Plan:
    inputs = tuple(range(-len(specs), 0))
    return Plan(party, inputs, specs, (), (), steps, {peer: 0 for peer in range(3) if peer != party})


def step(party: int, sent: int = 0, got: int = 0, *loops: Loop, op: str = "and", loc: str = "f.py:1") -> Step:
    """Numbers of words sent to the next party and got from the previous one."""
    to = {(party + 1) % 3: (message(sent, op, loc),)} if sent else {}
    come = {(party - 1) % 3: (message(got, op, loc),)} if got else {}
    return Step(bool(sent or got), Exchange(to, come), loops, None)


def loop(body: Plan, trip: int) -> Loop:
    return Loop(body, trip, len(body.inputs), 0, False, body.inputs, (), {})


def three(*rounds: tuple[int, int, int], loops: tuple[int, tuple[int, int, int]] | None = None) -> list[Plan]:
    """Plans in whose rounds each party sends so many words to the next; then a loop, of a round each time."""
    plans = []
    for p in range(3):
        steps = [step(p, words[p], words[p - 1]) for words in rounds]
        if loops:
            trip, words = loops
            steps.append(step(p, 0, 0, loop(plan(p, step(p, words[p], words[p - 1], op="msb", loc="")), trip)))
        plans.append(plan(p, *steps))
    return plans


def test_what_each_party_sends_gets_and_holds() -> None:
    found = cost_report(three((1, 2, 3), (5, 0, 7)), "lan")
    assert found.rounds == 2
    assert found.bytes_sent == (48, 16, 80)
    assert found.bytes_received == (80, 48, 16)
    assert found.input_bytes == (28, 28, 28)
    assert found.network is NETWORKS["lan"]
    assert found.seconds == pytest.approx(
        2 * 150e-6 + 72 / 1.25e9
    )  # party 2 sends 2 words before it has 7 of them away
    assert found.assumed == ()


def test_inputs_are_counted_by_party() -> None:
    plans = [plan(p, specs=SPECS[: p + 1] if p < 2 else ()) for p in range(3)]
    assert cost_report(plans, "lan").input_bytes == (24, 28, 0)
    assert cost_report(plans, "lan").rounds == 0


def test_a_loop_is_counted_as_often_as_it_runs_and_one_in_it_too() -> None:
    found = cost_report(three((1, 1, 1), loops=(10, (0, 2, 4))), "wan")
    assert found.rounds == 1 + 10
    assert found.bytes_sent == (8, 8 + 160, 8 + 320)
    assert found.by_op == {"and": 24, "msb": 480}
    assert found.by_line == {"f.py:1": 24, "(no line)": 480}
    inner = [loop(p, 5) for p in three((1, 0, 0), loops=(3, (0, 0, 2)))]
    outer = [plan(p, step(p, 0, 0, inner[p])) for p in range(3)]
    assert cost_report(outer, "lan").bytes_sent == (5 * 8, 0, 5 * 3 * 16)
    assert cost_report(outer, "lan").rounds == 5 * (1 + 3)


def test_messages_to_both_sides_are_counted() -> None:
    both = Exchange({1: (message(1),), 2: (message(2, "msb"), message(4))}, {1: (message(8),)})
    one = Exchange({0: (message(8),)}, {0: (message(1),)})
    two = Exchange({}, {0: (message(2, "msb"), message(4))})
    plans = [plan(p, Step(True, exchange, (), None)) for p, exchange in enumerate((both, one, two))]
    found = cost_report(plans, "lan")
    assert found.bytes_sent == (56, 64, 0)
    assert found.bytes_received == (64, 8, 48)
    assert found.by_op == {"and": 104, "msb": 16}
    assert found.rounds == 1


def test_memory_is_what_came_in_and_what_comes_meanwhile() -> None:
    """24 and 4 bytes of inputs, then 8 bytes for each word that comes; nothing is freed here."""
    assert cost_report(three((1, 2, 3), (5, 0, 7)), "lan").memory == (28 + 8 * 10, 28 + 8 * 6, 28 + 8 * 2)


def test_a_step_without_a_message_of_ones_own_may_be_a_round() -> None:
    steps = [Step(True, Exchange(), (), None), Step(False, Exchange(), (), None)]
    assert cost_report([plan(p, *steps) for p in range(3)], "lan").rounds == 1


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="no network profile 'moon'") as found:
        cost_report(three((1, 1, 1)), "moon")
    assert all(name in str(found.value) for name in NETWORKS)


# --- what rests on the number format's range


def program(origin: str) -> Program:
    """A sign and a truncation of a value whose bound is of this origin, at two lines; and two ops that need none."""
    maker = Maker(Config(), (Value(secret_fixed((3,), 36, 1 << 40, origin)), Value(Type((3,), "bool", form="bits"))))
    halves = maker.emit("split", maker.params[0])
    results = []
    for loc, name, attrs in (
        ("f.py:2", "msb", {"width": 45, "drop": 0, "block": 3}),
        ("f.py:3", "truncate_wrap", {"bits": 18}),
        ("f.py:2", "zero_test", {"width": 45, "block": 3}),
        ("", "truncate_local", {"bits": 18}),
    ):
        maker.builder.loc = loc
        results.append(maker.emit(name, halves, **attrs))
    maker.builder.loc = "f.py:4"
    results.append(maker.emit("bit_to_arith", maker.params[1]))
    return finish(maker, results, ["secret"] * 2)


def test_lines_that_rest_on_an_assumed_bound_are_named_once() -> None:
    found = cost_report(three((1, 1, 1)), "lan", program("assumed"))
    assert found.assumed == ("f.py:2", "f.py:3")
    assert cost_report(three((1, 1, 1)), "lan", program(INFERRED)).assumed == ()


def test_an_order_rests_on_the_bounds_of_all_its_keys() -> None:
    """It compares as many bits of each as its bound has."""
    for origins, rests in ((("assumed", INFERRED), True), ((INFERRED, "assumed"), True), ((INFERRED, INFERRED), False)):
        maker = Maker(Config(), tuple(Value(secret_fixed((3,), 18, 1 << 20, origin)) for origin in origins))
        keys = [maker.emit("split", value) for value in maker.params]
        maker.builder.loc = "f.py:7"
        order = maker.emit("pair_rank", *keys, widths=(22, 22), blocks=(3, 3))
        ranked = finish(maker, [maker.emit("permute", order, maker.params[0])], ["secret"] * 2)
        assert cost_report(three((1, 1, 1)), "lan", ranked).assumed == (("f.py:7",) if rests else ())


# --- as text


def report(**more: Any) -> CostReport:
    fields: dict[str, Any] = {
        "rounds": 7,
        "bytes_sent": (512, 2048, 3 << 20),
        "bytes_received": (0, 0, 0),
        "input_bytes": (0, 0, 0),
        "seconds": 0.01234,
        "network": NETWORKS["lan"],
        "by_op": {"and": 1000, "msb": 5 << 30},
        "by_line": {"f.py:1": 1024, "f.py:2": 1023},
        "memory": (1 << 20, 3 << 19, 7),
    }
    return CostReport(**{**fields, **more})


def test_the_text_has_all_of_it_the_dearest_first() -> None:
    assert str(report()).splitlines() == [
        "7 rounds, 3 MiB from the busiest party, 12.34 ms on the wire (lan)",
        "sent by party 0, 1, 2: 512 B, 2 KiB, 3 MiB",
        "memory of party 0, 1, 2: 1 MiB, 1.5 MiB, 7 B",
        "by op (all parties):",
        "       5 GiB  msb",
        "      1000 B  and",
        "by line (all parties):",
        "       1 KiB  f.py:1",
        "      1023 B  f.py:2",
    ]


def test_a_table_without_a_line_is_left_out() -> None:
    assert "by line" not in str(report(by_line={"(no line)": 7}))
    assert "by line" in str(report(by_line={"(no line)": 7, "f.py:1": 0}))


def test_one_round_is_no_rounds() -> None:
    assert str(report(rounds=1)).startswith("1 round, 3 MiB")


def test_the_text_says_what_rests_on_the_range() -> None:
    lines = str(report(assumed=("f.py:9", "f.py:8"))).splitlines()
    assert lines[-3].startswith("rests on the number format's range")
    assert lines[-2:] == ["  f.py:9", "  f.py:8"]


def test_the_text_says_what_is_computed_in_the_clear_and_by_whom() -> None:
    lines = str(report(clear={"": ("f.py:1",), "alice": ("f.py:2", "f.py:3")})).splitlines()
    assert lines[-5:] == [
        "computed in the clear by everybody, at no cost:",
        "  f.py:1",
        "computed in the clear by alice, at no cost:",
        "  f.py:2",
        "  f.py:3",
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), ((1 << 20) - 1024, "1023 KiB"),
     (1 << 20, "1 MiB"), (5 << 28, "1.25 GiB"), (3 << 41, "6144 GiB")],
)  # fmt: skip
def test_sizes_are_told_in_four_digits(size: int, text: str) -> None:
    assert f"sent by party 0, 1, 2: {text}, {text}, {text}" in str(report(bytes_sent=(size,) * 3))
