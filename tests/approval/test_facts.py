"""What the text of a program says, without the compiler that made it, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings

from jmpc import families
from jmpc.approval import facts as facts_module
from jmpc.approval.facts import Opening, Supplied, Told, costs_of, facts_of, seconds_of
from jmpc.config import NETWORKS
from jmpc.errors import ConfigError, ProgramError
from jmpc.executors.engine import PartyEngine, program_text, text_hash
from jmpc.ir.program import Block, Op, Program, regions
from jmpc.ir.types import LOCAL, PUBLIC
from jmpc.roles import Role
from jmpc.testing.build import config_of
from jmpc.testing.draw.ir_programs import order_programs, share_programs
from tests.approval.texts import KINDS, ROW, doctored, lowered, of_stored, text_of
from tests.party.planning import joint_schedule


def test_who_supplies_what_and_who_learns_what() -> None:
    found = facts_of(text_of("predict"))
    assert (found.name, found.parties, found.bytes) == ("_predict", 3, len(text_of("predict")))
    assert found.inputs == (
        Supplied("x", "hospital-a", "fixed<18>", (3, 4)),
        Supplied("w", "model-owner", "fixed<18>", (4, 2)),
    )
    assert found.outputs == (Told("result", "hospital-a", "float32", (3, 2)),)
    assert (found.owners, found.receivers) == ({"hospital-a", "model-owner"}, {"hospital-a"})
    assert (found.reads_stored, found.keeps, found.openings, found.foreign, found.worked) == (False, False, (), (), {})


def test_the_caller_is_nobody_by_name() -> None:
    found = facts_of(text_of("for caller"))
    assert (found.owners, found.receivers) == ({Role.CALLER, "model-owner"}, {Role.CALLER})


def test_what_is_shared_already_and_what_stays_shared() -> None:
    found = facts_of(of_stored())
    assert (found.reads_stored, found.keeps, found.owners) == (True, False, {"hospital-a"})
    found = facts_of(text_of("kept"))
    assert (found.reads_stored, found.keeps, found.receivers) == (False, True, {"hospital-a"})


def test_what_is_opened_and_how_often() -> None:
    (one,), (five,) = facts_of(text_of("sort")).openings, facts_of(text_of("loop")).openings
    assert one == Opening("permute", 1, "the places of shuffled elements: the order times a uniform one")
    assert (five.op, five.times) == ("permute", 5)


def test_what_owners_compute_first() -> None:
    """Their own values, and what everybody may compute."""
    assert facts_of(text_of("worked")).worked == {"hospital-a": 1, "model-owner": 1, "": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_text_costs_is_what_the_compiler_said(kind: str) -> None:
    said, found = lowered(kind).cost(), costs_of(text_of(kind))
    for name in ("rounds", "bytes_sent", "bytes_received", "input_bytes", "memory", "by_op", "seconds"):
        assert getattr(found, name) == getattr(said, name)
    assert (lowered(kind).program_hash, lowered(kind).program_text) == (text_hash(text_of(kind)), text_of(kind))
    assert facts_of(text_of(kind)).program == PartyEngine(0).load(text_of(kind)) == lowered(kind).program_hash


def test_seconds_are_for_each_network() -> None:
    found = costs_of(text_of("predict"))
    assert seconds_of(found) == {name: costs_of(text_of("predict"), name).seconds for name in NETWORKS}
    with pytest.raises(ConfigError, match="no network"):
        costs_of(text_of("predict"), "moon")


def _count(block: Block, times: int, opening: frozenset[str]) -> int:
    def inside(op: Op) -> int:
        return sum(_count(region, times * op.attrs["trip"], opening) for _, region in regions(op))

    return sum(times * (op.name in opening) + inside(op) for op in block.ops)


@settings(max_examples=30)
@given(program=order_programs() | share_programs())
def test_facts_are_those_of_the_program(program: Program) -> None:
    found = facts_of(program_text(program, joint_schedule(program)))
    opening = families.of(program.config).openings
    assert sum(x.times for x in found.openings) == _count(program.body, 1, opening)
    assert [x.owner for x in found.inputs] == [x.owner for x in program.inputs]
    assert [x.shape for x in found.outputs] == [v.shape for v in program.body.results]
    assert found.keeps == any(x.receiver == Role.SECRET for x in program.outputs)
    local = {v.type.owner for v in program.body.params if v.type.visibility == LOCAL}
    assert found.owners == local
    assert found.reads_stored == any(v.type.secret for v in program.body.params)
    assert {x.owner == "" for x in found.inputs} == {v.type.visibility == PUBLIC for v in program.body.params}


# --- texts that are none


SPOILT = {
    "nothing": lambda: "",
    "no schedule": lambda: text_of("predict").partition("\nschedule ")[0],
    "a schedule of words": lambda: text_of("predict").partition("\nschedule ")[0] + "\nschedule [now]",
    "a deep schedule": lambda: text_of("predict").partition("\nschedule ")[0] + "\nschedule " + "[" * 100_000,
    "another type": lambda: doctored("max 2^44-1 assumed\noutput", "max 7 declared\noutput"),
    "an owner that is a control character": lambda: doctored('"model-owner"', '"model\\u001b[2Jowner"'),
    "an owner called everybody": lambda: doctored('"model-owner"', '"everybody"'),
    "a receiver called everybody": lambda: doctored('to "hospital-a"', 'to "everybody"'),
    "another family": lambda: doctored('"aby3"', '"nobody"'),
    "a byte beyond ASCII": lambda: doctored('"x"', '"ä"'),
    "an array that fills a disk": lambda: doctored("[3,4]", "[3000000000,4]"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_text_that_is_no_program_is_refused(kind: str) -> None:
    with pytest.raises(ProgramError) as found:
        facts_of(SPOILT[kind]())
    assert "\x1b" not in str(found.value)


def test_a_schedule_of_another_program_is_found_before_anything_is_counted() -> None:
    head, tail = text_of("predict").partition("\nschedule ")[0], text_of("sort").partition("\nschedule ")[2]
    facts_of(f"{head}\nschedule {tail}")
    with pytest.raises(ProgramError, match="another program"):
        costs_of(f"{head}\nschedule {tail}")


def test_sizes_are_looked_at_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the bodies of loops too. A party would make arrays of these sizes while it traces."""
    monkeypatch.setattr(facts_module, "MOST_ELEMENTS", len(ROW) - 1)
    for kind in ("sort", "loop"):
        for asked in (facts_of, costs_of):
            with pytest.raises(ProgramError, match="an array of 6 elements"):
                asked(text_of(kind))
    monkeypatch.setattr(facts_module, "MOST_ELEMENTS", 12)
    monkeypatch.setattr(facts_module, "MOST_OPS", 3)
    with pytest.raises(ProgramError, match="operations"):
        facts_of(text_of("predict"))


def test_a_loop_that_runs_for_ever_is_not_gone_through() -> None:
    (found,) = facts_of(text_of("loop").replace("trip=5", "trip=1000000000000")).openings
    assert found.times == 10**12


def test_no_part_of_the_compiler_is_needed() -> None:
    code = "import sys, jmpc.approval.programs; print(*(m for m in sys.modules if m.startswith('jmpc.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "jmpc.approval.facts" in loaded
    compiler = ("jmpc.api", "jmpc.compiler", "jmpc.frontend", "jmpc.passes", "jmpc.families.replicated3.lowering")
    assert [m for m in loaded if m.startswith(compiler)] == []


def test_a_narrow_ring_of_tests_is_no_program_of_parties() -> None:
    """`config_of` makes rings that can be enumerated; a text that asks for one is refused."""
    assert config_of(8).k == 8
    with pytest.raises(ProgramError, match="configuration"):
        facts_of(doctored("k=64", "k=8"))
