"""The programs of a party: what is kept, what may run, how often; across threads, restarts, crashes and damage."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jmpc.approval import kept
from jmpc.approval import programs as programs_module
from jmpc.approval.approvals import Approval, Approvals
from jmpc.approval.ledger import Grant, Ledger
from jmpc.approval.programs import Bounds, Programs
from jmpc.errors import ConfigError, ProgramError, RefusedError
from jmpc.executors.engine import text_hash
from jmpc.families.replicated3 import ABY3
from tests.approval.test_policy import rule_text
from tests.approval.texts import of_stored, text_of

START = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> dt.datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += dt.timedelta(**time)


class Party:
    """A folder, a policy, a clock, and what a service makes of them; `again` is a restart."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.policy, self.clock = folder / "programs", folder / "policy.toml", Clock()
        self.bounds = Bounds()
        self.open: list[Programs] = []
        self.programs = self.again()

    def again(self) -> Programs:
        self.programs = Programs(self.folder, self.policy, clock=self.clock, bounds=self.bounds)
        self.open.append(self.programs)
        return self.programs

    def decide(self, text: str, **said: Any) -> None:
        """As the command line does, in another process."""
        record = {"program": text_hash(text), "name": "x", "by": "root", "at": self.clock.now, **said}
        Approvals(self.folder).add(Approval(**record))

    def submitted(self, text: str, client: str = "hospital-a") -> str:
        return self.programs.submit(text, client)


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    made = Party(tmp_path)
    yield made
    for programs in made.open:
        programs.close()


PREDICT = text_of("predict")


# --- what may run


def test_nothing_runs_that_nobody_allowed(party: Party) -> None:
    program = party.submitted(PREDICT)
    assert program == text_hash(PREDICT)
    why = party.programs.refusal(program, "hospital-a")
    assert "its operator has not approved it, and its policy does not allow it" in why
    assert f"jmpc programs approve {program[:12]}" in why
    with pytest.raises(RefusedError, match="does not run the program"):
        party.programs.started(program, "hospital-a")
    assert "does not have the program" in party.programs.refusal("0" * 64, "hospital-a")
    assert party.programs.ledger.runs() == {}


def test_what_was_approved_runs_until_it_is_revoked(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT)
    assert party.programs.refusal(program, "hospital-a") == party.programs.refusal(program, "bank") == ""
    party.programs.started(program, "bank")
    party.decide(PREDICT, revoked=True)
    party.policy.write_text(rule_text())
    assert "was revoked on 2026-11-30" in party.programs.refusal(program, "hospital-a")
    with pytest.raises(RefusedError, match="revoked"):
        party.programs.started(program, "bank")
    party.decide(PREDICT)
    assert party.programs.refusal(program, "bank") == ""


def test_an_approval_before_its_text_counts_once_the_text_is_there(party: Party) -> None:
    party.decide(PREDICT)
    assert party.programs.refusal(text_hash(PREDICT), "hospital-a") != ""
    assert party.programs.refusal(party.submitted(PREDICT), "hospital-a") == ""


def test_an_approval_is_of_one_text_to_the_last_character(party: Party) -> None:
    party.decide(PREDICT)
    other = PREDICT.replace("program _predict", "program _predicT")
    assert party.programs.refusal(party.submitted(other), "hospital-a") != ""


def test_an_approval_may_be_for_some_and_for_a_time(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT, clients=("hospital-a",), until=START + dt.timedelta(hours=1))
    assert party.programs.refusal(program, "hospital-a") == ""
    assert "for other clients than bank" in party.programs.refusal(program, "bank")
    party.clock.pass_(hours=1)
    assert "ended on 2026-11-30" in party.programs.refusal(program, "hospital-a")
    party.policy.write_text(rule_text())
    assert party.programs.refusal(program, "hospital-a") == "", "the policy allows it all the same"


def test_the_policy_allows_without_an_approval(party: Party) -> None:
    party.policy.write_text(rule_text())
    program = party.submitted(PREDICT)
    assert party.programs.refusal(program, "hospital-a") == ""
    assert party.programs.refusal(program, "bank") != ""
    assert party.programs.refusal(party.submitted(of_stored()), "hospital-a") != ""
    party.policy.write_text(rule_text(max_rounds=2))
    assert party.programs.refusal(program, "hospital-a") != ""
    facts = party.programs.facts(program)
    assert facts is not None
    ((rule, why),) = party.programs.verdicts(facts, "hospital-a")
    assert "6 rounds, and 2 are the most" in why
    assert "rule 1" in rule.where


def test_nobody_makes_a_party_count_costs_whom_no_rule_names(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    party.policy.write_text(rule_text(max_rounds=100))
    asked: list[str] = []
    real = programs_module.costs_of

    def costs_of(text: str) -> Any:
        asked.append(text)
        return real(text)

    monkeypatch.setattr(programs_module, "costs_of", costs_of)
    program = party.submitted(PREDICT, "bank")
    assert party.programs.refusal(program, "bank") != ""
    assert asked == []
    for _ in range(3):
        assert party.programs.refusal(program, "hospital-a") == ""
    assert asked == [PREDICT]


# --- how often


def runs(party: Party, program: str, client: str = "hospital-a", tries: int = 10) -> int:
    """How many runs there are in a row."""
    for number in range(tries):
        if party.programs.refusal(program, client):
            with pytest.raises(RefusedError, match=r"within 24 hours"):
                party.programs.started(program, client)
            return number
        party.programs.started(program, client)
    return tries


def test_runs_are_counted_by_client_in_any_24_hours(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT, per_day=3)
    assert runs(party, program) == 3
    assert runs(party, program, "bank") == 3
    party.clock.pass_(hours=23, minutes=59)
    assert runs(party, program) == 0
    party.clock.pass_(minutes=1)
    assert runs(party, program) == 3
    assert party.programs.ledger.runs()[program][0] == 9


def test_counts_survive_restarts_and_clocks_that_go_back(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT, per_day=2)
    party.programs.started(program, "hospital-a")
    party.again()
    assert runs(party, program) == 1
    party.clock.pass_(hours=-30)
    party.again()
    assert runs(party, program) == 0


def test_an_approval_anew_is_no_new_start(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT, per_day=2)
    assert runs(party, program) == 2
    party.decide(PREDICT, revoked=True)
    party.decide(PREDICT, per_day=3)
    assert runs(party, program) == 1


def test_a_rule_counts_all_its_programs_together(party: Party) -> None:
    """Or who changes a name would have as many runs as there are names."""
    party.policy.write_text(rule_text(per_day=3))
    one, two = party.submitted(PREDICT), party.submitted(text_of("predict", 5))
    assert runs(party, one, tries=2) == 2
    assert runs(party, two) == 1
    party.policy.write_text(rule_text(submitters=["bank"]) + rule_text(per_day=4))
    assert runs(party, two) == 1, "it was raised by one"


def test_an_approval_and_a_rule_both_count(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.policy.write_text(rule_text(per_day=2))
    party.decide(PREDICT, per_day=1)
    assert runs(party, program) == 3


def test_threads_share_what_is_left(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT, per_day=20)

    def start(_: int) -> bool:
        try:
            party.programs.started(program, "hospital-a")
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(60))) == 20


_KILLED = """
import os, signal, sys
from pathlib import Path
from jmpc.approval.ledger import Grant, Ledger
ledger = Ledger(Path(sys.argv[1]))
for n in range(7):
    assert ledger.start("p", [Grant("g", 10)], "a", 1000.0 + n)
    print(n, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_takes_no_count_back(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -9
    ledger = Ledger(tmp_path)
    left = [ledger.start("p", [Grant("g", 10)], "a", 1007.0) for _ in range(5)]
    assert left == [True, True, True, False, False]
    ledger.close()


# --- what is kept


def test_texts_are_there_after_a_restart(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT)
    again = party.again()
    assert again.text(program) == PREDICT
    assert again.refusal(program, "hospital-a") == ""
    assert again.known() == [program]
    assert [(s.client, s.name, s.bytes) for s in again.ledger.submitted()] == [("hospital-a", "_predict", len(PREDICT))]
    assert (party.folder / f"{program}.share").stat().st_mode & 0o777 == 0o600
    assert party.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", ["half", "changed", "none", "binary", "writable"])
def test_a_text_that_is_not_as_it_was_is_not_known(damage: str, party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT)
    path = party.folder / f"{program}.share"
    if damage == "half":
        path.write_text(PREDICT[: len(PREDICT) // 2])
    elif damage == "changed":
        path.write_text(PREDICT.replace('to "hospital-a"', 'to "hospital-b"'))
    elif damage == "binary":
        path.write_bytes(b"\xff" + PREDICT.encode())
    elif damage == "writable":
        path.chmod(0o666)
    else:
        path.unlink()
    again = party.again()
    assert again.text(program) is None
    assert "does not have the program" in again.refusal(program, "hospital-a")
    assert again.submit(PREDICT, "hospital-a") == program
    assert again.text(program) == PREDICT
    assert again.refusal(program, "hospital-a") == ""


@pytest.mark.parametrize("name", ["", "../policy", "0" * 63, "0" * 64 + "/", "G" * 64])
def test_only_a_hash_names_a_file(name: str, party: Party) -> None:
    (party.folder.parent / "policy.share").write_text(PREDICT)
    assert party.programs.text(name) is None
    assert party.programs.refusal(name, "hospital-a") != ""


def test_a_text_that_is_no_program_leaves_nothing(party: Party) -> None:
    for text in ("", "program x", PREDICT[:-1], "ä"):
        with pytest.raises(ProgramError):
            party.submitted(text)
    assert party.programs.known() == []
    assert party.programs.ledger.submitted() == []


def test_a_family_of_other_parties_is_refused(party: Party) -> None:
    four = Programs(party.folder, parties=4, clock=party.clock)
    with pytest.raises(RefusedError, match=f"it is for {ABY3.parties} parties"):
        four.submit(PREDICT, "hospital-a")
    four.close()


def test_a_client_keeps_its_newest_programs(party: Party) -> None:
    party.bounds = Bounds(client_texts=3)
    party.again()
    texts = [text_of("predict", rows) for rows in range(4, 10)]
    made: list[str] = []
    for text in texts[:3]:
        made.append(party.submitted(text))
        party.clock.pass_(seconds=1)
    party.decide(texts[0])
    other = party.submitted(texts[1], "bank")
    for text in texts[3:]:
        made.append(party.submitted(text))
        party.clock.pass_(seconds=1)
    assert set(party.programs.known()) == {made[0], other, *made[3:]}, "the approved one, the other's, the last three"
    assert party.programs.refusal(made[0], "hospital-a") == ""


def test_what_is_submitted_again_is_as_new(party: Party) -> None:
    party.bounds = Bounds(client_texts=2)
    party.again()
    first, second, third = (text_of("predict", rows) for rows in (4, 5, 6))
    for text in (first, second, first, third):
        party.submitted(text)
        party.clock.pass_(seconds=1)
    assert set(party.programs.known()) == {text_hash(first), text_hash(third)}


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(texts=2),
        Bounds(bytes=len(PREDICT) * 5 // 2),
        Bounds(client_bytes=len(PREDICT) - 1),
        Bounds(text_bytes=len(PREDICT) - 1),
    ],
)
def test_there_is_room_for_so_many_and_nothing_is_lost_for_more(bounds: Bounds, party: Party) -> None:
    party.bounds = bounds
    party.again()
    fits = 0 if bounds.client_bytes < len(PREDICT) or bounds.text_bytes < len(PREDICT) else 2
    before = [party.submitted(text_of("predict", number + 3), f"client-{number}") for number in range(fits)]
    with pytest.raises(RefusedError, match="does not keep the program"):
        party.submitted(text_of("predict", 3 + fits), "bank")
    assert sorted(before) == party.programs.known()
    assert len(party.programs.ledger.submitted()) == fits


def test_a_full_disk_refuses_and_leaves_nothing(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(RefusedError, match="no space left"):
            party.submitted(PREDICT)
    assert [path.name for path in party.folder.iterdir() if not path.name.startswith("programs.db")] == []
    assert party.programs.text(party.submitted(PREDICT)) == PREDICT


def test_what_a_crash_left_goes(party: Party) -> None:
    (party.folder / ".new-0123").write_text(PREDICT[:50])
    party.again()
    assert not (party.folder / ".new-0123").exists()


def test_many_clients_submit_at_once(party: Party) -> None:
    texts = [text_of("predict", rows) for rows in range(3, 7)]

    def submit(number: int) -> str:
        return party.programs.submit(texts[number % 4], f"client-{number % 3}")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(submit, range(40)))
    assert set(party.programs.known()) == set(found) == {text_hash(text) for text in texts}
    assert len(party.programs.ledger.submitted()) == 12


def test_a_command_that_looks_takes_nothing_away_from_a_service_that_writes(party: Party) -> None:
    """It removes what crashes left; what is being written is none of that."""
    texts = [text_of("predict", rows) for rows in range(3, 15)]

    def look(_: int) -> None:
        Programs(party.folder, party.policy, clock=party.clock).close()

    with ThreadPoolExecutor(4) as pool:
        looking = pool.map(look, range(60))
        found = list(pool.map(party.submitted, texts))
        list(looking)
    assert party.programs.known() == sorted(found)


def test_a_file_of_decisions_never_grows_to_one_that_cannot_be_read(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    party.decide(PREDICT)
    monkeypatch.setattr(kept, "MOST_BYTES", (party.folder / "approvals.json").stat().st_size + 100)
    with pytest.raises(ConfigError, match="too many decisions"):
        party.decide(PREDICT, revoked=True)
    assert len(Approvals(party.folder).records()) == 1


# --- files that are wrong


BROKEN = {
    "half": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "a list": lambda text: "[]",
    "another version": lambda text: text.replace('"version": 1', '"version": 2'),
    "a field more": lambda text: text.replace('"note"', '"more": 1, "note"'),
    "a moment without its offset": lambda text: text.replace("+00:00", ""),
    "no moment": lambda text: text.replace("2026-11-30T12", "today"),
    "a number that is none": lambda text: text.replace('"per_day": 0', '"per_day": true'),
    "deep": lambda text: "[" * 100_000,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_approvals_that_cannot_be_read_allow_nothing(kind: str, party: Party) -> None:
    """At once, and not only after a restart; the policy neither, since what it says may have been revoked."""
    program = party.submitted(PREDICT)
    party.decide(PREDICT)
    party.policy.write_text(rule_text())
    assert party.programs.refusal(program, "hospital-a") == ""
    path = party.folder / "approvals.json"
    whole = path.read_text()
    path.write_text(BROKEN[kind](whole))
    assert "the approvals cannot be read" in party.programs.refusal(program, "hospital-a")
    with pytest.raises(RefusedError, match="approvals"):
        party.programs.started(program, "hospital-a")
    with pytest.raises(ConfigError, match=r"approvals\.json|approvals cannot"):
        party.again()
    with pytest.raises(ConfigError):
        party.decide(PREDICT, revoked=True)
    path.write_text(whole)
    assert party.programs.refusal(program, "hospital-a") == ""


def test_a_policy_that_cannot_be_read_allows_nothing(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.policy.write_text(rule_text() + "nonsense = 1\n")
    assert "does not allow it now" in party.programs.refusal(program, "hospital-a")
    with pytest.raises(ConfigError, match="no key of this file"):
        party.again()
    party.policy.write_text(rule_text())
    assert party.programs.refusal(program, "hospital-a") == ""


def test_a_ledger_that_is_damaged_lets_nothing_run_that_is_limited(party: Party) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT, per_day=3)
    for programs in party.open:
        programs.close()
    for path in party.folder.glob("programs.db*"):
        path.write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigError, match="record of programs"):
        party.again()
    assert program in party.programs.known()


def test_a_ledger_that_is_damaged_while_a_service_runs_refuses(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    program = party.submitted(PREDICT)
    party.decide(PREDICT, per_day=3)

    def damaged(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(Ledger, "_do", damaged)
    assert "does not allow it now: reading the record of programs failed" in party.programs.refusal(program, "bank")
    with pytest.raises(RefusedError, match="writing the record of programs failed"):
        party.programs.started(program, "bank")


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_folder_that_others_may_write_is_not_used(mode: int, party: Party) -> None:
    party.folder.chmod(mode)
    with pytest.raises(ConfigError, match="others may change programs"):
        party.again()


def test_records_stay_and_the_last_one_counts(party: Party) -> None:
    party.decide(PREDICT, note="first")
    party.decide(PREDICT, revoked=True, note="second")
    party.decide(text_of("sort"))
    found = Approvals(party.folder).records()
    assert [(r.note, r.revoked) for r in found] == [("first", False), ("second", True), ("", False)]
    said = json.loads((party.folder / "approvals.json").read_text())
    assert said["records"][1]["note"] == "second"
    assert (party.folder / "approvals.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("said", [{"note": "x" * 2001}, {"by": ""}, {"program": "0" * 63}, {"per_day": -1},
                                  {"clients": ("",)}, {"at": dt.datetime(2026, 1, 1)}])  # fmt: skip
def test_a_record_that_nobody_could_read_back_is_not_written(said: dict[str, Any], party: Party) -> None:
    with pytest.raises(ConfigError, match="this is no approval"):
        party.decide(PREDICT, **said)
    assert Approvals(party.folder).records() == ()


def test_operators_who_decide_at_once_lose_nothing(party: Party) -> None:
    def decide(number: int) -> None:
        party.decide(PREDICT, note=str(number))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decide, range(40)))
    assert sorted(int(r.note) for r in Approvals(party.folder).records()) == list(range(40))


def test_a_write_that_fails_leaves_what_was_there(party: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    party.decide(PREDICT)
    before = (party.folder / "approvals.json").read_bytes()

    def fails(*_: Any) -> None:
        raise OSError(5, os.strerror(5))

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(kept.os, name, fails)
            with pytest.raises(ConfigError, match="cannot be written"):
                party.decide(PREDICT, revoked=True)
        assert (party.folder / "approvals.json").read_bytes() == before
        assert list(party.folder.glob(".new-*")) == []
