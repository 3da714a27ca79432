"""`jmpc programs`, `inspect` and `cost`: what operators read and decide, and what is wrong with what they typed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jmpc.approval.facts import facts_of
from jmpc.approval.programs import Programs
from jmpc.command import program_tables
from jmpc.command.main import run
from jmpc.executors.engine import text_hash
from tests.approval.test_policy import rule_text
from tests.approval.texts import doctored, of_stored, text_of
from tests.command.test_main import python

Read = pytest.CaptureFixture[str]
PREDICT = text_of("predict")
HASH = text_hash(PREDICT)


SETTINGS = """\
format = 1
party = "party/0"
cluster = "."
listen = "127.0.0.1:7001"
"""


@pytest.fixture
def party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a party to which a client submitted a program; commands run in it."""
    (tmp_path / "party.toml").write_text(SETTINGS)
    programs = Programs(tmp_path / "programs", tmp_path / "policy.toml")
    programs.submit(PREDICT, "hospital-a")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    programs.close()


def allowed(party: Path, client: str = "hospital-a", program: str = HASH) -> bool:
    programs = Programs(party / "programs", party / "policy.toml")
    try:
        return not programs.refusal(program, client)
    finally:
        programs.close()


def done(capsys: Read, *arguments: str) -> str:
    assert run(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def said(capsys: Read, *arguments: str) -> dict[str, Any]:
    found = json.loads(done(capsys, *arguments, "--json"))
    assert found.pop("ok") is True
    return found


def test_a_program_waits_is_approved_and_revoked(party: Path, capsys: Read) -> None:
    assert "_predict  waits  0     hospital-a" in done(capsys, "programs", "list")
    assert not allowed(party)
    printed = done(capsys, "programs", "approve", HASH[:8], "--note", "for the study", "--by", "ann")
    assert f"_predict  {HASH}\n  approved by ann on " in printed
    assert "note: for the study\n  secrets of hospital-a, model-owner; learned by hospital-a" in printed
    assert allowed(party)
    assert "_predict  approved  0" in done(capsys, "programs", "list")
    assert "revoked by" in done(capsys, "programs", "revoke", HASH)
    assert not allowed(party)
    (row,) = said(capsys, "programs", "list")["programs"]
    assert (row["state"], row["submitted_by"], row["program"]) == ("revoked", ["hospital-a"], HASH)


def test_limits_are_those_that_were_typed(party: Path, capsys: Read) -> None:
    limits = ["--client", "bank", "--client", "hospital-a", "--until", "2199-01-31", "--per-day", "5"]
    found = said(capsys, "programs", "approve", HASH, *limits)["approval"]
    assert (found["clients"], found["per_day"]) == (["bank", "hospital-a"], 5)
    assert found["until"] == "2199-01-31T00:00:00+00:00"
    assert "for bank, hospital-a; until 2199-01-31 00:00 UTC; 5 runs of each client" in done(
        capsys, "programs", "show", HASH
    )
    assert allowed(party, "bank")
    assert not allowed(party, "nobody-else")
    said(capsys, "programs", "approve", HASH, "--until", "2026-01-31T12:00+02:00")
    assert not allowed(party)
    assert "ended" in done(capsys, "programs", "list")


def test_what_came_by_mail_is_approved_from_its_file(party: Path, capsys: Read, tmp_path: Path) -> None:
    text = text_of("sort")
    (tmp_path / "mail.share").write_text(text)
    done(capsys, "programs", "approve", "mail.share")
    assert allowed(party, "bank", text_hash(text))
    done(capsys, "programs", "revoke", "mail.share")
    assert not allowed(party, "bank", text_hash(text))


def test_all_that_stands_of_a_program_is_shown(party: Path, capsys: Read) -> None:
    (party / "policy.toml").write_text(rule_text(max_rounds=2))
    printed = done(capsys, "programs", "show", HASH)
    assert "nobody has decided about it" in printed
    assert "rule 1, for hospital-a: it takes 6 rounds, and 2 are the most" in printed
    assert "now, for hospital-a: its operator has not approved it" in printed
    (party / "policy.toml").write_text(rule_text())
    printed = done(capsys, "programs", "show", HASH)
    assert "rule 1, for hospital-a: allowed" in printed
    assert "now, for hospital-a: it may run" in printed
    found = said(capsys, "programs", "show", HASH)
    assert (found["history"], found["refusals"], found["runs"]) == ([], {"hospital-a": ""}, 0)


# --- inspect


def test_an_operator_sees_who_supplies_what_and_who_learns_what(party: Path, capsys: Read) -> None:
    printed = done(capsys, "inspect", HASH)
    assert printed.startswith(f"_predict  {HASH}\n")
    for line in (
        "  x  fixed<18>[3, 4]  a secret of hospital-a",
        "  w  fixed<18>[4, 2]  a secret of model-owner",
        "  result  float32[3, 2]  to hospital-a",
        "stays shared: nothing",
        "opened to all parties: nothing",
        "operations from outside jmpc: nothing",
        "  what owners do with their data before they share it is not in a program's text: no party can say it",
        "  6 rounds, on the wire 0.361 ms (local), 0.9012 ms (lan), 15.01 ms (metro), 120.1 ms (wan)",
        "  2      1.182 KiB  248 B     320 B           6.188 KiB",
    ):
        assert f"{line}\n" in printed


def test_what_is_unusual_is_said(party: Path, capsys: Read) -> None:
    for text, *lines in (
        (of_stored(), "  w  fixed<18>[4, 2]  shared already: each of its owners must consent"),
        (text_of("kept"), "  [1]  float32[4, 2]  to nobody: it stays shared", "stays shared\n  [1]"),
        (text_of("sort"), "  permute, 1 time: the places of shuffled elements: the order times a uniform one"),
        (text_of("loop"), "  permute, 5 times: "),
        (text_of("worked"), "  1 value that hospital-a computes by itself",
         "  1 value that everybody computes by itself", "public: all parties know it"),
        (text_of("for caller"), "a secret of the caller", "to the caller"),
    ):  # fmt: skip
        (party / "x.share").write_text(text)
        printed = done(capsys, "inspect", "x.share")
        assert [line for line in lines if line not in printed] == []


def test_the_same_as_fields(party: Path, capsys: Read) -> None:
    found = said(capsys, "inspect", HASH)
    assert found["program"] == HASH
    assert found["inputs"][0] == {"path": "x", "owner": "hospital-a", "kind": "fixed<18>", "shape": [3, 4]}
    assert found["costs"]["rounds"] == 6
    assert set(found["costs"]["seconds"]) == {"local", "lan", "metro", "wan"}
    assert said(capsys, "cost", HASH)["memory"] == found["costs"]["memory"]


def test_costs_are_by_operation(party: Path, capsys: Read) -> None:
    printed = done(capsys, "cost", HASH, "--network", "wan")
    assert "120.12 ms on the wire (wan)" in printed
    assert re.search(r"KiB  msb\n", printed)
    assert "memory of party 0, 1, 2: 5.656 KiB" in printed
    assert "by line" not in printed


def test_nothing_of_a_text_is_obeyed_by_a_terminal(party: Path, capsys: Read) -> None:
    (party / "x.share").write_text(doctored('"x" from', '"x\\u001b[2J\\u202e\\n" from'))
    printed = done(capsys, "inspect", "x.share")
    assert "x?[2J??" in printed
    assert "\x1b" not in printed
    (party / "x.share").write_text(doctored("program _predict", 'program "\\u001b]0;x\\u0007"'))
    done(capsys, "programs", "approve", "x.share")
    assert "\x1b" not in done(capsys, "programs", "list")
    assert program_tables.plain("a\nb" * 200) == "a?b" * 66 + "a?"


# --- what is typed wrong


WRONG: dict[str, tuple[list[str], int, str]] = {
    "no such program": (["programs", "approve", "0" * 64], 1, "does not know the program"),
    "nothing of a hash": (["programs", "show", "xyz"], 1, "cannot be read"),
    "few digits": (["programs", "show", HASH[:7]], 2, "8 digits"),
    "no file": (["inspect", "nothing.share"], 1, "no such file"),
    "a file of something else": (["inspect", "party.toml"], 1, "without its schedule"),
    "a file that is no text": (["inspect", "binary"], 1, "no program's text"),
    "a folder": (["inspect", "programs"], 1, "is a directory"),
    "a client's whole name": (["programs", "approve", HASH, "--client", "client/bank"], 2, "hospital-a"),
    "a client that nobody is": (["programs", "approve", HASH, "--client", "everybody"], 2, "--client"),
    "no date": (["programs", "approve", HASH, "--until", "soon"], 2, "--until"),
    "less than no runs": (["programs", "approve", HASH, "--per-day", "-1"], 2, "--per-day"),
    "a note that is too long": (["programs", "approve", HASH, "--note", "x" * 2001], 1, "no approval"),
    "no network": (["cost", HASH, "--network", "moon"], 1, "no network"),
    "no folder": (["programs", "list", "--folder", "nothing"], 1, "no folder of programs"),
    "both": (["programs", "list", "--folder", "programs", "--config", "party.toml"], 2, "--folder"),
    "no configuration": (["programs", "list", "--config", "nothing.toml"], 1, "nothing.toml is missing"),
    "a configuration that is none": (["programs", "list", "--config", "binary"], 1, "not TOML"),
    "a path that is none": (["programs", "list", "--config", "number.toml"], 1, "`programs` is not a text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_jmpcs_words(name: str, party: Path, capsys: Read) -> None:
    arguments, code, word = WRONG[name]
    (party / "binary").write_bytes(b"\xff\x00")
    (party / "number.toml").write_text(SETTINGS + "programs = 3\n")
    before = sorted((path, path.stat().st_size) for path in party.rglob("*") if not path.name.startswith("programs.db"))
    assert run(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.match(r"error: .+\n  --> .+\n(  why: .+\n)?(  fix: .+\n)*$", printed.err)
    assert word in printed.err
    assert run([*arguments, "--json"]) == code
    assert set(json.loads(capsys.readouterr().out)["error"]) == {"what", "where", "why", "todo"}
    after = sorted((path, path.stat().st_size) for path in party.rglob("*") if not path.name.startswith("programs.db"))
    assert after == before


def test_a_text_that_was_changed_is_not_approved(party: Path, capsys: Read) -> None:
    (party / "programs" / f"{HASH}.share").write_text(PREDICT + "\n")
    for command in (["programs", "approve"], ["programs", "show"], ["inspect"], ["cost"]):
        assert run([*command, HASH]) == 1
        assert "not here as it was" in capsys.readouterr().err
    assert not allowed(party)


def test_two_programs_of_the_same_digits_are_told_apart(
    party: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    (party / "programs" / f"{HASH[:9]}{'0' * 55}.share").write_text("")
    assert run(["programs", "revoke", HASH[:8]]) == 1
    assert "2 programs begin with these digits" in capsys.readouterr().err
    done(capsys, "programs", "revoke", HASH[:12])


def test_lists_and_revocations_load_no_jax(party: Path) -> None:
    show = "import sys; print(*(m.split('.')[0] for m in sys.modules))"
    code = (
        f"from jmpc.command.main import run; run(['programs', 'list']); run(['programs', 'revoke', '{HASH}']); {show}"
    )
    printed = python("-c", code).stdout
    assert "revoked by" in printed
    assert not set(printed.split()) & {"jax", "jaxlib"}


def test_help_is_for_every_command(capsys: Read) -> None:
    listed = done(capsys, "programs")
    for command in ("list", "show", "approve", "revoke"):
        assert command in listed
        assert "--json" in done(capsys, "programs", command, "--help")
    for command in ("inspect", "cost"):
        assert "--json" in done(capsys, command, "--help")


def test_what_is_inspected_is_what_is_approved() -> None:
    assert facts_of(PREDICT).program == HASH
