"""`jmpc client`, `jmpc submit`, `jmpc status`: what they do at a cluster, say, refuse, and with which exit code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.command.main import run
from jmpc.executors.engine import text_hash
from tests.service.three import Three

Read = pytest.CaptureFixture[str]
Ask = Callable[..., dict[str, Any]]
ROWS = {"dose": np.float32([0.25, -1.5, 3.0]), "sick": np.array([True, False, True])}


@jmpc.secure(inputs={"x": "alice"}, outputs={"score": "alice", "next": jmpc.SECRET}, owners=["alice"])
def step(x: Any, model: Any) -> Any:
    return {"score": jnp.maximum(x @ model["w"], 0.0), "next": model["w"] + x}


@jmpc.secure(inputs={"x": "alice"}, outputs="bob", owners=["alice", "bob"])
def for_bob(x: Any, model: Any) -> Any:
    return {"dot": x @ model["w"], "sum": x + model["w"]}


@jmpc.secure(outputs="alice", owners=["alice"])
def twice(w: Any) -> Any:
    return w * 2


X = np.arange(6, dtype=np.float32).reshape(2, 3)
W = np.float32([1.0, -2.0, 0.5])


@pytest.fixture(scope="module")
def programs(three: Three) -> Iterator[dict[str, str]]:
    """Texts, of programs that read a stored model."""
    cluster = jmpc.connect(three.folder, identity="alice")
    cluster.put({"w": W}, "alice/model")
    model = cluster.stored("alice/model")
    yield {program.__name__: program.lower(X, model).program_text for program in (step, for_bob)}
    cluster.close()


@pytest.fixture
def ask(three: Three, capsys: Read) -> Ask:
    """The JSON of a command, as alice; of one that is to fail, its error."""

    def ask(*arguments: str, name: str = "alice", code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*arguments, "--as", name, "--cluster", str(three.folder), "--json"]) == code
        captured = capsys.readouterr()
        assert captured.err == ""
        return json.loads(captured.out)

    return ask


def written(folder: Path, **arrays: np.ndarray) -> list[str]:
    paths = []
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
        paths.append(str(folder / f"{name}.npy"))
    return paths


def test_a_value_is_put_listed_kept_for_a_while_and_deleted(ask: Ask, tmp_path: Path, capsys: Read) -> None:
    np.savez(tmp_path / "rows.npz", **ROWS)
    put = ask("client", "put", "alice/rows", str(tmp_path / "rows.npz"), "--days", "3", "--program", "a" * 64)
    assert put["value"]["arrays"] == {
        "['dose']": {"shape": [3], "dtype": "float32"},
        "['sick']": {"shape": [3], "dtype": "bool"},
    }
    (found,) = [v for v in ask("client", "list", name="bob")["values"] if v["name"] == "alice/rows"]
    assert (found["owner"], found["consents"]) == ("alice", {"alice": ["a" * 64]})
    assert found["expires"] is not None
    ask("client", "expire", "alice/rows")
    ask("client", "consent", "alice/rows", "a" * 64, "--withdraw")
    ask("client", "consent", "alice/rows", "b" * 64)
    (found,) = [v for v in ask("client", "list")["values"] if v["name"] == "alice/rows"]
    assert (found["expires"], found["consents"]) == (None, {"alice": ["b" * 64]})
    refused = ask("client", "delete", "alice/rows", name="bob", code=1)["error"]
    assert refused["what"] == "'alice/rows' is another client's"
    assert refused["todo"] == [
        "to store a value of yours, choose another name; to change or delete this one, ask alice"
    ]
    assert ask("client", "delete", "alice/rows") == {"ok": True, "name": "alice/rows"}
    assert ask("client", "delete", "alice/rows", code=1)["error"]["what"].startswith("there is no value")


MODEL = ("--stored", "model=alice/model")


def submitted(ask: Ask, folder: Path, text: str, *options: str, **more: Any) -> dict[str, Any]:
    (folder / "f.share").write_text(text)
    return ask("submit", str(folder / "f.share"), *options, **more)


def test_a_program_is_submitted_with_files_and_stored_values(
    ask: Ask, three: Three, programs: dict[str, str], tmp_path: Path
) -> None:
    (x,) = written(tmp_path, x=X)
    out = tmp_path / "out.npz"
    said = submitted(ask, tmp_path, programs["step"], "--input", f"x={x}", *MODEL, "--keep", "m/1", "--out", str(out))
    assert (said["places"], said["program"]) == ({"kept": "m/1"}, text_hash(programs["step"]))
    with np.load(out) as results:
        assert list(results) == ["['score']"]
        np.testing.assert_allclose(results["['score']"], np.maximum(X @ W, 0), atol=1e-3)
        assert results["['score']"].dtype == np.float32
    cluster = jmpc.connect(three.folder, identity="alice")
    text = twice.lower(cluster.stored("m/1")).program_text
    cluster.close()
    said = submitted(ask, tmp_path, text, "--stored", "w=m/1")
    np.testing.assert_allclose(said["values"]["result"], 2 * (W + X), atol=1e-3)


def test_a_result_is_left_for_who_is_away(ask: Ask, programs: dict[str, str], tmp_path: Path) -> None:
    (x,) = written(tmp_path, x=X)
    options = ["--input", f"#1={x}", *MODEL, "--leave", "bob=sums", "--days", "1"]
    said = submitted(ask, tmp_path, programs["for_bob"], *options)
    assert (said["places"], said["arrays"]) == ({"left for bob": "sums"}, {})
    got = ask("client", "get", "sums", name="bob")
    np.testing.assert_allclose(got["values"]["['dot']"], X @ W, atol=1e-3)
    ask("client", "get", "sums", str(tmp_path / "sums.npz"), name="bob")
    with np.load(tmp_path / "sums.npz") as out:
        np.testing.assert_allclose(out["['sum']"], X + W, atol=1e-3)
    assert ask("client", "get", "sums", code=1)["error"]["what"]
    again = ask("client", "get", "sums", str(tmp_path / "sums.npz"), name="bob", code=1)["error"]
    assert again["why"] == "it is there already"


X_GIVEN = ["--input", "x={x}"]
WRONG: dict[str, tuple[list[str], int, str]] = {
    "nothing given": ([*MODEL], 1, "nothing is given for x"),
    "no model": (X_GIVEN, 1, "nothing is given for model"),
    "no such input": (["--input", "y={x}"], 2, "has no input 'y'"),
    "no such number": (["--input", "#7={x}"], 2, "has no input '#7'"),
    "no pair": (["--input", "{x}"], 2, "is not PATH=WHAT"),
    "another shape": (["--input", "x={short}", *MODEL], 1, "does not fit"),
    "an array for what is stored": (["--input", "model={x}"], 1, "has nothing at ['w']"),
    "too large": (["--input", "x={large}", *MODEL], 1, "x"),
    "no file": (["--input", "x={nowhere}"], 1, "cannot be read"),
    "stored where none is": (["--stored", "x=alice/model", *MODEL], 1, "x is no input that is shared already"),
    "not stored": ([*X_GIVEN, "--stored", "model=nothing"], 1, "nothing"),
    "kept": ([*X_GIVEN, *MODEL, "--keep", "k"], 2, "no result of for_bob stays shared"),
    "left for nobody": ([*X_GIVEN, *MODEL, "--leave", "carol=k"], 2, "no result of for_bob is for carol"),
    "nobody to take it": ([*X_GIVEN, *MODEL], 1, "bob learns a result of for_bob"),
    "no place": ([*X_GIVEN, "--out", "{x}"], 1, "this is no file"),
    "nothing to write": ([*X_GIVEN, *MODEL, "--leave", "bob=k", "--out", "{out}"], 2, "no result comes back"),
    "the past": ([*X_GIVEN, "--days", "-1"], 2, "past"),
}


@pytest.mark.parametrize(("options", "code", "what"), WRONG.values(), ids=list(WRONG))
def test_what_does_not_fit_is_refused(
    ask: Ask, programs: dict[str, str], tmp_path: Path, options: list[str], code: int, what: str
) -> None:
    x, short, large = written(tmp_path, x=X, short=X[0], large=X + np.float32(1e30))
    places = {
        "x": x,
        "short": short,
        "large": large,
        "nowhere": str(tmp_path / "no.npy"),
        "out": str(tmp_path / "out.npz"),
    }
    given = [option.format(**places) for option in options]
    error = submitted(ask, tmp_path, programs["for_bob"], *given, code=code)["error"]
    assert what in error["what"]
    assert "e+30" not in json.dumps(error)


@pytest.mark.parametrize("text", ["", "program", 'program "f"\n', "\xff"])
def test_a_text_that_is_no_program_is_refused(ask: Ask, tmp_path: Path, text: str) -> None:
    (tmp_path / "f.share").write_text(text, encoding="latin-1")
    assert "f.share" in ask("submit", str(tmp_path / "f.share"), code=1)["error"]["where"]


def test_a_text_that_was_edited_is_refused(ask: Ask, programs: dict[str, str], tmp_path: Path) -> None:
    error = submitted(ask, tmp_path, programs["step"].replace("\n", "  \n", 1), code=1)["error"]
    assert "f.share" in error["where"]


def test_a_program_that_a_party_does_not_run_is_refused(
    ask: Ask, three: Three, programs: dict[str, str], tmp_path: Path
) -> None:
    (x,) = written(tmp_path, x=X)
    program = text_hash(programs["step"])
    three.programs[1].refused[program] = "nobody has approved it"
    try:
        error = submitted(ask, tmp_path, programs["step"], "--input", f"x={x}", *MODEL, code=1)["error"]
    finally:
        del three.programs[1].refused[program]
    assert error["what"].startswith("party 1 does not run the program step")
    assert any(f"jmpc programs approve {program}" in todo for todo in error["todo"])


def test_progress_and_places_are_told(three: Three, programs: dict[str, str], tmp_path: Path, capsys: Read) -> None:
    (tmp_path / "f.share").write_text(programs["step"])
    (x,) = written(tmp_path, x=X)
    options = ["--input", f"x={x}", *MODEL, "--keep", "told", "--as", "alice", "--cluster", str(three.folder)]
    assert run(["submit", str(tmp_path / "f.share"), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "kept: told"
    assert " rounds, " in lines[1]
    assert lines[2].startswith("['score']: float32[2] [")


def test_it_is_asked_who_asks(three: Three, capsys: Read) -> None:
    assert run(["client", "list", "--cluster", str(three.folder)]) == 2
    assert run(["status", "--cluster", str(three.folder), "--as", "nobody"]) == 1
    assert run(["client", "list", "--cluster", str(three.folder), "--as", "party/1"]) == 1


def test_status_says_how_each_party_is(ask: Ask, three: Three, capsys: Read) -> None:
    said = ask("status")
    assert (said["ok"], said["cluster"], said["as"]) == (True, "three", "client/alice")
    assert list(said["parties"]) == ["party/0", "party/1", "party/2"]
    for state in said["parties"].values():
        assert state["reached"]
        assert state["version"] == jmpc.__version__
        assert state["certificate_ends"]
        assert state["sessions"]["running"] == 0
    assert run(["status", "--as", "alice", "--cluster", str(three.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(f"party/0: ready, jmpc {jmpc.__version__}, 0 sessions run now, 0 wait")
    assert len(lines) == 5


def test_status_with_a_party_that_is_gone_says_the_others(ask: Ask, three: Three, capsys: Read) -> None:
    three.stop(1)
    try:
        said = ask("status", code=1)
        assert run(["status", "--as", "alice", "--cluster", str(three.folder)]) == 1
    finally:
        three.start(1)
        three.wait()
    assert [state["reached"] for state in said["parties"].values()] == [True, False, True]
    assert said["parties"]["party/0"]["ready"] is False
    printed = capsys.readouterr().out
    assert "party/0: not ready (not connected to party/1), jmpc" in printed
    assert "party/1: not reached: party 1 cannot be reached" in printed


@pytest.mark.parametrize("group", ["client", "submit", "status"])
def test_help_says_that_there_is_json(group: str, capsys: Read) -> None:
    words = {"client": ["list", "put", "get", "delete", "expire", "consent"]}.get(group, [""])
    for word in words:
        assert run([w for w in (group, word, "--help") if w]) == 0
        assert "--json" in capsys.readouterr().out
