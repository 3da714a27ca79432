"""The differential run: short, and with a fault planted in the compiler."""

from __future__ import annotations

import re
from typing import Any

import jax
import pytest

from jmpc.errors import BoundError
from jmpc.frontend.walk import RULES, Walker
from jmpc.testing import differential
from jmpc.testing.differential import Difference, Tally, compare, main, run_batch
from jmpc.testing.draw.jax_programs import programs

SMALL = programs(steps=12, owners=False, kinds=("linear", "elementwise"))


def test_a_few_random_programs_are_what_jax_says() -> None:
    """20 of them through the front end, the passes and the protocols; one through XLA."""
    tally = Tally()
    assert run_batch(20, 12, tally, local_every=15) is None
    assert tally.programs + tally.refused == 20
    assert tally.runs["meaning"] == 20
    assert tally.runs["simulated"] == tally.programs > 15
    assert tally.runs["local"] == 1


@pytest.fixture
def wrong_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that takes the smaller for the larger."""
    monkeypatch.setitem(RULES, "max", RULES["min"])


@pytest.mark.usefixtures("wrong_maximum")
def test_a_wrong_rule_is_found_and_shrunk() -> None:
    found = run_batch(100, 1, Tally(), SMALL, local_every=0)
    assert isinstance(found, Difference)
    assert found.path == "meaning"
    assert "further off than stated" in found.what
    assert len(found.program.block.steps) == 1
    assert re.search(r"jnp\.maximum|relu", str(found.program))


@pytest.mark.usefixtures("wrong_maximum")
def test_the_command_reports_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differential, "MOST_DIFFERENCES", 1)
    monkeypatch.setattr(differential, "programs", lambda **kinds: SMALL)
    assert main(["--programs", "100", "--seed", "1", "--local-every", "0"]) == 1
    text = capsys.readouterr().out
    assert "difference 1: meaning: " in text
    assert "import jmpc" in text
    assert "1 unexplained differences (seed 1)" in text


def test_the_command_is_content(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differential, "programs", lambda **kinds: SMALL)
    assert main(["--programs", "3", "--local-every", "0"]) == 0
    assert "0 unexplained differences (seed 1)" in capsys.readouterr().out


def test_a_program_that_is_not_compiled_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(w: Walker, eqn: Any, args: Any) -> Any:
        raise RuntimeError("no idea")

    for name in ("add", "mul", "sub"):
        monkeypatch.setitem(RULES, name, broken)
    found = run_batch(50, 2, Tally(), programs(steps=3, owners=False, kinds=("linear",)), local_every=0)
    assert found is not None
    assert found.what == "RuntimeError: no idea"


def test_a_difference_that_shows_once_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that depends on the masks of a run."""
    compared: list[Any] = []

    def once(program: Any, paths: Any, *rest: Any) -> None:
        compared.append(program)
        if len(compared) == 3:
            raise Difference("simulated", "wrong this time", program)

    monkeypatch.setattr(differential, "compare", once)
    found = run_batch(10, 4, Tally(), SMALL)
    assert found is not None
    assert found.what == "wrong this time"


def test_a_refusal_of_the_bound_analysis_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(program: Any, **options: Any) -> Any:
        def call(*args: Any) -> Any:
            raise BoundError("too large")

        return call

    monkeypatch.setattr(differential, "secure", refuse)
    tally, seen = Tally(), []
    monkeypatch.setattr(differential, "compare", lambda program, *rest, **more: seen.append(program))
    run_batch(1, 1, tally, SMALL)
    compare(seen[0], ["meaning"], tally)
    assert (tally.programs, tally.refused) == (0, 1)


def test_where_jit_alone_differs_it_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `jax.jit` that is off by one, as XLA's simplifications of wrapping integers are."""
    seen: list[Any] = []
    monkeypatch.setattr(differential, "compare", lambda program, *rest, **more: seen.append(program))
    run_batch(30, 3, Tally(), SMALL)
    program = max(seen, key=lambda p: len(p.block.steps))
    real = jax.jit
    monkeypatch.setattr(jax, "jit", lambda f: lambda *args: jax.tree.map(lambda x: x + 1000, real(f)(*args)))
    monkeypatch.setattr(differential, "secure", lambda function, **options: real(function))
    tally = Tally()
    compare(program, ["meaning"], tally)
    assert (tally.programs, tally.of_jit) == (1, 1)
