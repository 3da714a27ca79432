"""The benchmark harness, without timing anything: workloads, the table's arithmetic, the lines, the command line."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench import __main__ as command
from bench import cpu, machine, measure, table
from bench.lines import Side, SideFailed
from bench.measure import Contestant, Measurement, Pair
from bench.rivals import environment
from bench.task import largest_difference, largest_shortfall
from bench.workloads import WORKLOADS

ROOT = Path(__file__).parents[2]
positive = st.floats(1e-6, 1e3)

# A side that computes in the clear, cannot do "mul_1m", and prints where only answers belong.
STAND_IN = """
import os, sys
import numpy as np
from bench import lines
from bench.workloads import WORKLOADS
answers = lines.take_output()
print("noise of a library", flush=True)
result = None
def handle(request):
    global result
    if request["do"] == "versions":
        return {"stand-in": "1"}
    if request["do"] == "prepare":
        if request["workload"] == "mul_1m":
            raise MemoryError("too large")
        if request["workload"] == "relu_1m":
            os._exit(7)
        workload = WORKLOADS[request["workload"]]
        result = np.asarray(workload.function(*workload.inputs(request["seed"]))) + OFFSET
        return {"compile_seconds": 0.5, "bytes_sent": 1000, "steps": 3}
    if request["do"] == "run":
        return {"seconds": 0.25, "call_seconds": 0.375, "cpu_seconds": 0.5}
    np.save(request["path"], result)
    return {}
lines.serve(handle, answers)
"""


def stand_in(folder: Path, name: str, offset: float) -> Contestant:
    program = STAND_IN.replace("OFFSET", repr(offset))
    return Contestant(name, lambda: Side([sys.executable, "-c", program], ROOT, folder / name))


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_workload_has_the_stated_shape(name: str) -> None:
    workload = WORKLOADS[name]
    shape = jax.eval_shape(workload.function, *workload.inputs(0)).shape
    assert shape == workload.output_shape


def test_inputs_are_float32_and_follow_the_seed() -> None:
    workload = WORKLOADS["mlp_b1"]
    first, again, other = workload.inputs(3), workload.inputs(3), workload.inputs(4)
    assert all(array.dtype == np.float32 for array in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("name", ["mlp_b1", "lenet_b1", "minionn_b1", "chameleon_b1"])
def test_networks_give_logits_of_ordinary_size(name: str) -> None:
    workload = WORKLOADS[name]
    logits = measure.exact_result(workload, workload.inputs(0))
    assert logits.dtype == np.float64
    assert 0.01 < np.abs(logits).max() < 100.0


def test_lenet_is_the_textbook_network_in_plain_numpy() -> None:
    workload = WORKLOADS["lenet_b1"]
    args = workload.inputs(1)
    x, k1, c1, k2, c2, w1, b1, w2, b2 = [arg.astype(np.float64) for arg in args]
    for kernel, bias in ((k1, c1), (k2, c2)):
        patches = np.lib.stride_tricks.sliding_window_view(x, (5, 5), axis=(1, 2))
        x = np.maximum(np.einsum("bhwcij,ijco->bhwo", patches, kernel) + bias, 0.0)
        b, h, w, c = x.shape
        x = x.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))
    expected = np.maximum(x.reshape(1, -1) @ w1 + b1, 0.0) @ w2 + b2
    np.testing.assert_allclose(measure.exact_result(workload, args), expected, rtol=1e-9)


def test_the_error_of_argmax_ignores_near_ties_and_sees_wrong_rows() -> None:
    rows = np.array([[1.0, 1.000001], [5.0, 2.0]], np.float32)
    exact = np.array([1, 0])
    assert largest_shortfall([rows], exact, np.array([0, 0])) < 1e-5
    assert largest_shortfall([rows], exact, np.array([1, 1])) == 3.0
    assert largest_shortfall([rows], exact, np.array([1, 2])) == math.inf


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9), st.floats(-1e3, 1e3))
def test_the_error_is_the_offset(values: list[float], offset: float) -> None:
    exact = np.array(values)
    assert largest_difference([], exact, exact + offset) == pytest.approx(abs(offset), abs=1e-9)


def timed(*turns: float, **more: Any) -> Measurement:
    """A side with one run a turn."""
    return Measurement(turns, turns=turns, **more)


@given(st.lists(st.tuples(positive, positive), min_size=1, max_size=8))
def test_swapping_the_sides_inverts_the_ratio(turns: list[tuple[float, float]]) -> None:
    a, b = (timed(*side) for side in zip(*turns, strict=True))
    there, back = table.ratio(Pair("w", "local", a, b)), table.ratio(Pair("w", "local", b, a))
    assert there is not None
    assert back is not None
    assert there * back == pytest.approx(1.0)


@given(st.floats(0.5, 2.0), st.lists(positive, min_size=1, max_size=9))
def test_a_machine_that_slows_down_does_not_move_the_ratio(times: float, loads: list[float]) -> None:
    found = table.ratio(Pair("w", "local", timed(*loads), timed(*[times * load for load in loads])))
    assert found == pytest.approx(times)


def test_a_row_from_made_up_numbers() -> None:
    more = {"compile_seconds": 1.5, "bytes_sent": 2_500_000, "steps": 7, "max_error": 1e-5}
    ours = timed(0.002, 0.001, 0.004, cpu_seconds=0.0125, **more)
    more = {"compile_seconds": 0.25, "bytes_sent": 60_000_000, "steps": 11, "max_error": 3e-4}
    theirs = timed(0.5, 0.01, 0.02, **more)
    assert table.cells(Pair("mlp_b1", "local", ours, theirs)) == [
        "mlp_b1",
        "local",
        "1.00 / 2.00",
        "10.0 / 20.0",
        "10.00x",
        "12.5 / -",
        "7, 2.5",
        "11, 60",
        "1.0e-05 / 3.0e-04",
        "1.50 / 0.25",
    ]


def test_a_missing_or_failed_side_gives_no_ratio_and_is_named() -> None:
    ours, failed = timed(1.0), Measurement(failure="ValueError: no such op\nlong story")
    alone, broken = Pair("w", "local", ours, None), Pair("v", "local", ours, failed)
    assert table.ratio(alone) is None
    assert table.ratio(broken) is None
    assert table.summaries([alone, broken]) == {}
    assert table.cells(broken)[3] == "failed"
    assert table.cells(alone)[3] == "-"
    assert "SPU failed on v (local): ValueError: no such op" in table.markdown([alone, broken], {}, table.SPU)


def test_means_are_geometric_and_apart_for_each_executor() -> None:
    def pair(executor: str, times: float) -> Pair:
        return Pair("w", executor, timed(1.0), timed(times))

    means = table.summaries([pair("local", 8.0), pair("local", 0.5), pair("processes", 3.0)])
    assert means == pytest.approx({"local": 2.0, "processes": 3.0})


def test_markdown_rich_and_json_hold_the_same_rows() -> None:
    pairs = [Pair("relu_1m", "local", timed(0.1), timed(0.3))]
    page = table.markdown(pairs, {"cores": "2"}, "before")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert "- cores: 2" in page
    assert "before / jmpc" in rows[0]
    assert "SPU" not in page
    console = Console(width=200, record=True, quiet=True)
    console.print(table.rich_table(pairs, "before"))
    assert "3.00x" in rows[2]
    value = json.loads(json.dumps(table.as_json(pairs, {"cores": "2"})))
    assert value["results"][0]["ratio"] == pytest.approx(3.0)
    assert value["results"][0]["other"]["seconds"] == [0.3]


def test_both_sides_take_turns_and_faults_stay_with_their_workload(tmp_path: Path) -> None:
    turns: list[None] = []
    sides = [stand_in(tmp_path, "a", 0.0), stand_in(tmp_path, "b", 0.5)]

    def run(name: str) -> list[Measurement]:
        return list(measure.measure(sides, WORKLOADS[name], 2, 0, lambda: turns.append(None)))

    try:
        refused, ended, good = run("mul_1m"), run("relu_1m"), run("mlp_b1")
    finally:
        for side in sides:
            side.close()
    assert "MemoryError: too large" in refused[0].failure
    assert "status 7" in ended[1].failure
    assert [side.failure for side in good] == ["", ""]
    assert good[0].max_error < 1e-4
    assert good[1].max_error == pytest.approx(0.5, abs=1e-4)
    assert set(good[0].call_seconds) == {0.375}
    assert (good[0].compile_seconds, good[0].steps, good[0].bytes_sent) == (0.5, 3, 1000)
    assert len(turns) == 3 * 2 * 2
    assert [side.turns for side in good] == [(0.25, 0.25)] * 2


def test_a_side_that_cannot_start_says_why(tmp_path: Path) -> None:
    side = Side([sys.executable, "-c", "raise SystemExit('no such library')"], ROOT, tmp_path / "log")
    try:
        with pytest.raises(SideFailed, match="no such library"):
            side.ask("versions")
    finally:
        side.close()


def test_cpu_seconds_count_the_children_too() -> None:
    before = cpu.tree_user_seconds()
    burn = "import time\nwhile time.process_time() < 0.3: sum(range(10000))\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        after = cpu.tree_user_seconds()
        child.communicate(b"\n")
    if Path("/proc/self/stat").exists():
        assert before is not None
        assert after is not None
        assert after - before > 0.1
    else:
        assert before is after is None


def test_facts_name_the_machine() -> None:
    facts = machine.facts(ROOT)
    assert int(facts["cores"]) >= 1
    assert facts["avx512"] in ("yes", "no")
    assert facts["commit"]


def test_a_python_without_spu_is_refused_with_the_remedies(tmp_path: Path) -> None:
    with pytest.raises(environment.RivalMissing, match="--no-spu"):
        environment.spu_python(tmp_path / "python")


def test_list_names_every_workload() -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "--list"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(WORKLOADS)


@pytest.mark.parametrize(
    "arguments", [["--workloads", "mlp_b2"], ["--executors", "gpu"], ["--runs", "0"], ["--against", "tests"]]
)
def test_unknown_names_and_counts_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments)
    assert arguments[1] in capsys.readouterr().err


def test_the_command_writes_table_json_and_markdown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(name: str, place: command.Place, executor: str, scratch: Path) -> Contestant:
        return stand_in(scratch, name, 0.0)

    monkeypatch.setattr(command, "_contestant", fake)
    monkeypatch.setattr(command, "spu_python", lambda given: Path(sys.executable))
    files = ["--json", str(tmp_path / "out.json"), "--markdown", str(tmp_path / "out.md")]
    assert command.main(["--workloads", "mlp_b1", "--executors", "local", "--runs", "1", *files]) == 0
    assert "mlp_b1" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["geometric_means"] == {"local": pytest.approx(1.0)}
    assert "| mlp_b1 | local | 250 / 250 | 250 / 250 | 1.00x |" in (tmp_path / "out.md").read_text()


def test_another_checkout_runs_its_own_code(tmp_path: Path) -> None:
    """The folder has a side that knows itself by its folder."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").touch()
    for module in ("lines", "workloads", "functions", "models", "task"):
        shutil.copy(ROOT / "bench" / f"{module}.py", tmp_path / "bench")
    program = STAND_IN.replace("OFFSET", "0.0").replace('"stand-in": "1"', '"stand-in": os.getcwd()')
    (tmp_path / "bench" / "jmpc_side.py").write_text(program)
    options = command._parse(["--against", str(tmp_path)])
    side = command._contestant(command.BEFORE, command.Place(Path(sys.executable), options.against), "local", tmp_path)
    try:
        assert side.side.ask("versions") == {"stand-in": str(tmp_path)}
    finally:
        side.close()


def test_what_was_measured_before_a_side_could_not_start_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fake(name: str, place: command.Place, executor: str, scratch: Path) -> Contestant:
        if executor == "local":
            return stand_in(scratch, name, 0.0)
        return Contestant(name, lambda: Side([sys.executable, "-c", "exit('no ports')"], ROOT, scratch / "log"))

    monkeypatch.setattr(command, "_contestant", fake)
    assert command.main(["--workloads", "mlp_b1", "--runs", "1", "--no-spu"]) == 2
    shown = capsys.readouterr()
    assert "mlp_b1" in shown.out
    assert "no ports" in shown.err
