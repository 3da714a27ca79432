"""A program whose text differs at one party in one number or name: no session begins, and no share moves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from jmpc.executors.engine import program_text
from jmpc.service.limits import Limits
from tests.service.raw_client import Call, RawClient, soon
from tests.service.test_service import assert_works, relu_call
from tests.service.three import Three

MUTATIONS = 48
TOKEN = re.compile(r'"(\w+)"|(?<![\w%])\d+')  # a name, or a number that is none of a value


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with Three(tmp_path_factory.mktemp("difference"), ["alice"], Limits(waiting_s=0.5)) as cluster:
        yield cluster


def mutations(text: str) -> list[str]:
    """Each token of the program changed alone, and tokens of the schedule until there are enough."""
    program, _, schedule = text.partition("\nschedule ")
    first = list(TOKEN.finditer(program))
    later = [m for m in TOKEN.finditer(text) if m.start() > len(program)]
    assert schedule
    assert len(first) > 30
    tokens = [*first, *later[:: max(1, len(later) // (MUTATIONS - 30))]]

    def other(token: re.Match[str]) -> str:
        return f'"{token[1]}x"' if token[1] else str(int(token[0]) + 1)

    return [text[: token.start()] + other(token) + text[token.end() :] for token in tokens]


def load_at(client: RawClient, party: int, text: str) -> tuple[str, str]:
    """The hash under which a party took a text, or why it did not."""
    body = text.encode()
    client.links[party].send("load", {"bytes": len(body)}, soon(), body=body)
    kind, fields = client.answer(party, "loaded")
    return (fields["program"], "") if kind == "loaded" else ("", fields["error"])


def at_odds(call: Call, number: int, odd: int, other: str) -> Call:
    """That call, under a label of its own, with another program at one party."""

    def fields(party: int, said: dict[str, Any]) -> dict[str, Any]:
        return {**said, "program": other if party == odd else said["program"]}

    return replace(call, label=f"mutation {number}", fields=fields)


def test_no_share_moves_where_one_party_has_another_program(three: Three) -> None:
    call = relu_call()
    text = program_text(call.flow.share, call.flow.schedule)
    ended: Counter[str] = Counter()
    with RawClient(three, "alice") as alice:
        program = alice.load(call.flow)
        for number, changed in enumerate(mutations(text)):
            odd = number % 3
            other, refused = load_at(alice, odd, changed)
            if not refused:
                assert other != program
                alice.join(at_odds(call, number, odd, other), program=program)
                said = alice.result(call)
                assert {kind for kind, _ in said} == {"failed"}, (changed, said)
                assert {fields["phase"] for _, fields in said} <= {"input", "handshake"}, (changed, said)
                refused = "in a session"
            ended[refused] += 1
        assert_works(alice)
    assert ended.keys() == {"ProgramError", "in a session"}
    assert ended["in a session"] >= 10
    assert ended.total() >= MUTATIONS
