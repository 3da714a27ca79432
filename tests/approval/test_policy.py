"""Rules of a party's policy: each key allows what it says and nothing else; a wrong file is refused, with its line."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest

from jmpc.approval.facts import Facts, Foreign, costs_of, facts_of
from jmpc.approval.policy import read_policy, watched
from jmpc.errors import ConfigError
from jmpc.party.report import CostReport
from tests.approval.texts import of_stored, text_of

NOW = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
PEOPLE = {"submitters": ["hospital-a"], "owners": ["hospital-a", "model-owner"], "receivers": ["hospital-a"]}


def rule_text(**keys: Any) -> str:
    def value(x: Any) -> str:
        if isinstance(x, list):
            return f"[{', '.join(map(value, x))}]"
        return str(x).lower() if isinstance(x, bool) else f'"{x}"' if isinstance(x, str) else str(x)

    return "[[allow]]\n" + "".join(f"{key} = {value(x)}\n" for key, x in {**PEOPLE, **keys}.items())


def refusal(text: str, client: str = "hospital-a", **keys: Any) -> str:
    (rule,) = read_policy(rule_text(**keys), "policy.toml")
    return rule.refusal(facts_of(text), client, NOW, lambda: costs_of(text))


def test_a_program_of_the_right_people_is_allowed() -> None:
    assert refusal(text_of("predict")) == ""


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"submitters": ["bank"]}, "hospital-a is none of its submitters"),
        ({"submitters": []}, "submitters"),
        ({"submitters": ["caller"]}, "submitters"),
        ({"owners": ["hospital-a"]}, "model-owner is none of its owners"),
        ({"owners": ["caller"]}, "model-owner is none of its owners"),
        ({"receivers": ["model-owner"]}, "hospital-a is none of its receivers"),
        ({"receivers": []}, "receivers"),
        ({"names": ["train"]}, "none of its names"),
        ({"names": ["predict*"]}, "none of its names"),
        ({"max_rounds": 1}, "rounds, and 1 are the most"),
        ({"max_bytes": "1 KiB"}, "a party sends 1.182 KiB, and 1 KiB are the most"),
        ({"max_memory": "6 KiB"}, "of memory, and 6 KiB are the most"),
        ({"until": NOW}, "ended on 2026-11-30"),
    ],
)
def test_each_key_refuses_what_it_does_not_name(keys: dict[str, Any], why: str) -> None:
    assert why in refusal(text_of("predict"), **keys)


@pytest.mark.parametrize(
    "keys",
    [
        {"submitters": ["*"], "owners": ["*"], "receivers": ["*"]},
        {"owners": ["caller", "model-owner"], "receivers": ["caller"]},
        {"names": ["train", "_pre*"]},
        {"max_rounds": 6, "max_bytes": "1.5 KiB", "max_memory": "7 KiB"},
        {"until": NOW + dt.timedelta(seconds=1)},
        {"opened": ["permute"], "stored": True, "kept": True, "modules": ["m"], "per_day": 1},
    ],
)
def test_each_key_allows_what_it_names(keys: dict[str, Any]) -> None:
    assert refusal(text_of("predict"), **keys) == ""


def test_another_client_is_not_the_caller() -> None:
    everybody = {"submitters": ["*"], "owners": ["caller", "model-owner"], "receivers": ["caller"]}
    assert "hospital-a is none of its owners" in refusal(text_of("predict"), "bank", **everybody)
    assert refusal(text_of("for caller"), "bank", **everybody) == ""
    named = {"submitters": ["*"], "owners": ["bank", "model-owner"], "receivers": ["bank"]}
    assert refusal(text_of("for caller"), "bank", **named) == ""
    assert "hospital-a is none of its owners" in refusal(text_of("for caller"), "hospital-a", **named)


def test_what_a_rule_does_not_speak_of_it_does_not_allow() -> None:
    assert "`stored` is not set" in refusal(of_stored())
    assert refusal(of_stored(), stored=True) == ""
    assert "`kept` is not set" in refusal(text_of("kept"))
    assert refusal(text_of("kept"), kept=True) == ""
    people = {"owners": ["hospital-a", "bank"]}
    assert "opens values by permute" in refusal(text_of("sort"), **people)
    assert "opens values by permute" in refusal(text_of("sort"), opened=["radix_rank"], **people)
    assert refusal(text_of("sort"), opened=["permute"], **people) == ""
    assert refusal(text_of("sort"), opened=["*"], **people) == ""


def with_foreign(module: str) -> Facts:
    found = facts_of(text_of("predict"))
    values = {name: getattr(found, name) for name in found.__slots__}
    return Facts(**{**values, "foreign": (Foreign("is_small", module, "00"),)})


def test_operations_from_outside_are_allowed_by_module() -> None:
    for modules, why in (([], "uses operations of my_ops"), (["other"], "my_ops"), (["my_ops"], "")):
        (rule,) = read_policy(rule_text(modules=modules), "policy.toml")
        assert why in rule.refusal(with_foreign("my_ops"), "hospital-a", NOW, lambda: costs_of(text_of("predict")))
        assert bool(why) == bool(rule.refusal(with_foreign("my_ops"), "hospital-a", NOW, no_costs))


def no_costs() -> CostReport:
    raise AssertionError("it takes a while, and nobody needed it")


def test_costs_are_asked_only_where_all_else_is_allowed() -> None:
    facts, limits = facts_of(text_of("predict")), {"max_rounds": 1, "max_bytes": "1 B", "max_memory": "1 B"}
    (rule,) = read_policy(rule_text(receivers=["bank"], **limits), "policy.toml")
    assert "receivers" in rule.refusal(facts, "hospital-a", NOW, no_costs)
    (rule,) = read_policy(rule_text(), "policy.toml")
    assert rule.refusal(facts, "hospital-a", NOW, no_costs) == ""


def test_a_rule_is_counted_by_what_it_is_about() -> None:
    """Its limits and its place may change."""
    first, second, third = read_policy(
        rule_text(per_day=3) + rule_text(per_day=5, max_rounds=9) + rule_text(owners=["bank"]), "policy.toml"
    )
    assert first.grant.by == second.grant.by != third.grant.by
    assert (first.grant.per_day, second.grant.per_day, third.grant.per_day) == (3, 5, 0)
    assert "rule 3" in third.where


WRONG = {
    "not TOML": ("[[allow]]\nowners = ]\n", "not TOML", "policy.toml:2"),
    "no submitters": ('[[allow]]\nowners = []\nreceivers = ["a"]\n', "`allow[0].submitters` is missing", ":1"),
    "a text for a list": (rule_text().replace('["hospital-a"]', '"hospital-a"', 1), "not a list of texts", ":2"),
    "a number in a list": (rule_text(names=["a", 3]), "`allow[0].names` is not right", ":5"),
    "a key that there is not": (rule_text(max_round=3), "no key of this file", ":5"),
    "a table that there is not": ("[deny]\n", "`deny` is no key", ":1"),
    "one table": ("[allow]\n", "not an array of tables", ":1"),
    "no rounds": (rule_text(max_rounds=0), "counted from 1" , ":5"),
    "a size without a unit": (rule_text(max_bytes="64"), "a number and a unit", ":5"),
    "a size that is a number": (rule_text(max_memory=64), "not a text", ":5"),
    "a word for true": (rule_text(kept="yes"), "not true or false", ":5"),
    "one for true": (rule_text(stored=1), "not true or false", ":5"),
    "no moment": (rule_text(until="tomorrow"), "not a moment", ":5"),
    "a moment without its offset": (rule_text(until=dt.datetime(2026, 1, 1)), "offset", ":5"),
    "a client's whole name": (rule_text(submitters=["client/bank"]), "write bank", ":2"),
    "a name that nobody has": (rule_text(owners=["everybody"]), "those who have no name", ":3"),
    "an empty name": (rule_text(opened=[""]), "at least one character", ":5"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_is_refused_with_its_line_and_key(kind: str) -> None:
    text, said, line = WRONG[kind]
    with pytest.raises(ConfigError) as found:
        read_policy(text, "policy.toml")
    assert said in str(found.value)
    assert line in str(found.value.where)


# --- the file


def test_without_a_file_or_a_rule_nothing_is_allowed(tmp_path: Path) -> None:
    assert watched(tmp_path / "policy.toml").now() == ()
    assert read_policy("", "policy.toml") == ()


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    found = watched(path)
    path.write_text(rule_text())
    assert len(found.now()) == 1
    assert found.now() is found.now()
    path.write_text(rule_text() + rule_text())
    assert len(found.now()) == 2
    path.write_text("[[allow]]\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match="submitters"):
            found.now()
    new = tmp_path / "new"
    new.write_text(rule_text())
    os.replace(new, path)
    assert len(found.now()) == 1
    path.unlink()
    assert found.now() == ()


@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_a_file_that_others_may_change_is_not_believed(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(rule_text())
    path.chmod(mode)
    with pytest.raises(ConfigError, match="others may change policy"):
        watched(path).now()
    path.chmod(0o644)
    assert len(watched(path).now()) == 1


def test_a_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        watched(path).now()
    path.write_bytes(b"\xef\xbb\xbf" + rule_text().replace("\n", "\r\n").encode())
    assert len(watched(path).now()) == 1
