"""The benchmark over shaped links, without asserting any time: its arithmetic, its table, its command."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jmpc
from bench import network, network_table
from bench.links.profiles import PROFILES
from bench.links.relay import CLIENT, PARTIES, Links
from bench.network_table import Row
from bench.speed import FREE, Ran, fitted, scaled
from bench.task import Workload, normal
from bench.workloads import WORKLOADS
from jmpc.party.forecast import Speed, forecast

DOCUMENT = Path(__file__).parents[2] / "docs" / "network.md"
ROW = Row(
    program="mlp_b1",
    link="wan",
    way="relay",
    config="wan",
    rounds=14,
    bytes_sent=11_200,
    round_trip_s=0.04,
    runs=(0.3, 0.32, 0.29),
    calls=(0.45, 0.5, 0.44),
    local_run=0.01,
    local_call=0.03,
    wire=0.28,
    estimated_run=0.2,
    reckoned_run=0.29,
    reckoned_call=0.4,
    max_error=1e-5,
    load=0.5,
)


def plans(function: Any, *shapes: tuple[int, ...]) -> Any:
    return jmpc.secure(function).lower(*(np.ones(shape, np.float32) for shape in shapes)).flow.plans


MADE = [
    plans(lambda x: x * x, (3,)),
    plans(lambda x: jax.nn.relu(x), (1000,)),
    plans(lambda x, y: x @ y, (64, 64), (64, 64)),
    plans(lambda x: jax.nn.relu(jax.nn.relu(x) * x), (7,)),
]
small = st.floats(1e-6, 1e-2)


@given(small, st.floats(1e-11, 1e-9), st.floats(1e-10, 1e-8))
def test_the_speed_of_a_machine_is_found_by_what_its_runs_take(segment: float, operation: float, byte: float) -> None:
    """Nearly: another party may be the slowest at another speed."""
    speed = Speed(segment, operation, byte)
    ran = [Ran(each, forecast(each, FREE, speed)) for each in MADE]
    found = fitted(ran)
    for each in ran:
        assert forecast(each.plans, FREE, found) == pytest.approx(each.seconds, rel=0.15)


@given(st.floats(1e-3, 10.0))
def test_a_program_s_own_local_work_is_what_was_measured_of_it(seconds: float) -> None:
    speed = scaled(Speed(1e-3, 1e-9, 1e-9), Ran(MADE[1], seconds))
    assert forecast(MADE[1], FREE, speed) == pytest.approx(seconds)


def test_ratios_are_of_the_least_run_over_the_prediction() -> None:
    assert ROW.ratios == {
        "estimated_run": pytest.approx(1.45),
        "reckoned_run": pytest.approx(1.0),
        "reckoned_call": pytest.approx(1.1),
    }
    assert network_table.within(1.25)
    assert network_table.within(0.75)
    assert not network_table.within(1.26)
    assert not network_table.within(0.74)


def test_a_row_from_made_up_numbers() -> None:
    assert network_table.cells(ROW) == [
        "mlp_b1", "wan", "14, 0.0112", "290 / 300", "280", "200 (1.45)", "290 (1.00)", "7.2",
        "440 / 450", "400 (1.10)", "-", "-", "-",
    ]  # fmt: skip
    beside = network.replace(ROW, rival_runs=(1.16, 1.3), rival_sends=31, rival_bytes=20_700)
    assert network_table.cells(beside)[-3:] == ["1160", "31, 0.0207", "4.0x"]


def test_what_lies_below_the_table_names_what_is_off_and_why_a_rival_failed() -> None:
    failed = network.replace(ROW, link="lan", rival_failure="RuntimeError: no link\nlong story")
    lines = network_table.remarks([ROW, failed])
    assert "run, its local work measured: 2 of 2 within 25% of the prediction" in lines
    assert "run, estimated: 0 of 2 within 25% of the prediction" in lines
    assert "  mlp_b1 over lan: 1.45 of it" in lines
    assert "SPU failed on mlp_b1 over lan: RuntimeError: no link" in lines


def test_markdown_and_json_hold_the_rows() -> None:
    page = network_table.markdown([ROW], {"cores": "2"})
    assert len({line.count("|") for line in page.splitlines() if line.startswith("|")}) == 1
    assert "- cores: 2" in page
    value = json.loads(json.dumps(network_table.as_json([ROW], {"cores": "2"})))
    assert value["results"][0]["runs"] == [0.3, 0.32, 0.29]
    assert value["results"][0]["ratios"]["reckoned_run"] == pytest.approx(1.0)


def test_the_links_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert network.main(["--list"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == list(PROFILES)


@pytest.mark.parametrize("arguments", [["--programs", "mlp_b2"], ["--links", "moon"], ["--shaping", "magic"]])
def test_unknown_names_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        network.main(arguments)
    assert arguments[1] in capsys.readouterr().err


def test_every_program_that_is_measured_by_default_is_one_of_the_tasks() -> None:
    assert {*network.DEFAULT, *network.PROGRAMS} <= set(WORKLOADS)


def test_the_code_in_the_documentation_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    script = tmp_path / "network.py"
    script.write_text("\n".join(blocks))
    runpy.run_path(str(script))


def test_the_first_network_at_batch_128_needs_at_most_15_round_trips_on_a_wan() -> None:
    workload = WORKLOADS["mlp_b128"]
    report = jmpc.secure(workload.function, config=jmpc.Config(network="wan")).lower(*workload.inputs(0)).cost()
    assert report.rounds <= 15
    bandwidth_s = max(report.bytes_sent) / PROFILES["wan"].link.bandwidth
    assert (report.seconds - bandwidth_s) / (2 * PROFILES["wan"].link.latency_s) <= 15


def test_parties_and_their_client_meet_over_links_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Links] = []

    class Seen(Links):
        def close(self) -> None:
            made.append(self)
            pairs = set(self._carriers)
            super().close()
            assert pairs == {(a, b) for a in range(PARTIES) for b in range(a + 1, CLIENT + 1)}

    tiny = Workload("tiny", lambda x, y: x * y, normal((3,), (3,)), (3,))
    monkeypatch.setitem(WORKLOADS, "tiny", tiny)
    monkeypatch.setattr(network, "PROGRAMS", ("tiny",))
    monkeypatch.setattr(network, "Links", Seen)
    out = tmp_path / "out.json"
    assert network.main(["--no-spu", "--programs", "tiny", "--links", "lan", "--runs", "1", "--json", str(out)]) == 0
    assert "tiny" in capsys.readouterr().out
    assert len(made) == 1
    value = json.loads(out.read_text())
    (row,) = value["results"]
    assert row["rounds"] >= 1
    assert row["max_error"] < 1e-3
    assert len(row["runs"]) == len(row["calls"]) == 1
    assert "through it" in value["facts"]["relay"]
    assert "a segment" in value["facts"]["speed of a party"]
