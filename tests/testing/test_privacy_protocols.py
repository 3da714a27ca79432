"""Every registered protocol is private: exactly on a tiny ring, and by its masks at the ring widths that users have.
docs/privacy_protocols.md is what was checked, protocol by protocol."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.testing.build import config_of
from jmpc.testing.privacy.everywhere import SHAPES, WIDTHS
from jmpc.testing.privacy.exact import Exact, check_private_exact
from jmpc.testing.privacy.structural import Structural, check_private_structural, mask_uses
from jmpc.testing.simulator.lockstep import traces
from tests.testing.privacy_cases import CASES, Case

MISSING = "add a case for {} to tests/testing/privacy_cases.py"


def cases(name: str) -> list[Case]:
    assert CASES.get(name), MISSING.format(name)
    return CASES[name]


@functools.cache
def exact(name: str) -> list[Exact | None]:
    """Of each case that is enumerated."""
    return [
        None
        if case.local or case.parts
        else check_private_exact(
            name, case.inputs, case.attrs, config=config_of(case.k, 0), tied=case.tied, unknown=case.unknown
        )
        for case in cases(name)
    ]


@functools.cache
def structural(name: str, shape: tuple[int, ...]) -> list[list[Structural]]:
    """Of each case, at each width."""
    return [[check_private_structural(case.program(name, shape, w)) for w in WIDTHS] for case in cases(name)]


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_exactly_private(name: str) -> None:
    for case, made in zip(cases(name), exact(name), strict=True):
        if made is not None:
            assert made.runs >= 64
            assert made.k == case.k
        else:
            assert is_local(case, name) if case.local else case.why


def is_local(case: Case, name: str) -> bool:
    """Nothing drawn and nothing sent: the view is the party's own shares."""
    made = traces(case.program(name, (3,), config_of(case.k, 0)))
    sent = [e for t in made for e in t.jaxpr.eqns if e.primitive.name in ("exchange", "party_loop")]
    return not sent and not any(list(mask_uses(t)) for t in made)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_message_is_masked(name: str, shape: tuple[int, ...]) -> None:
    for case, widths in zip(cases(name), structural(name, shape), strict=True):
        for found in widths:
            assert (found.masks == 0) == case.local
            assert found.messages == 0 or not case.local
            assert sum(found.opened.values()) == case.opens


PAGE = Path(__file__).resolve().parents[2] / "docs" / "privacy_protocols.md"
HEAD = """# What was checked of each protocol

Written by tests/testing/test_privacy_protocols.py (`pytest --update-golden`). *Exact*: the width of the ring, and how
many combinations of input shares and mask words were run, of each case in tests/testing/privacy_cases.py; each party's
view has the same distribution for all inputs that it must not tell apart, given its own input shares alone.
*Structural*: messages of the three parties that are proved uniform to their receivers, and masks, at 64 bits.

| protocol | exact | structural |
|---|---|---|
"""


def row(name: str) -> str:
    by_hand = {True: "sends nothing: the view is its own shares", False: ""}
    said = [
        f"k = {made.k}: {made.runs:,} runs" if made else by_hand[case.local] or f"{', '.join(case.parts)}; {case.why}"
        for case, made in zip(cases(name), exact(name), strict=True)
    ]
    proofs = [widths[0] for widths in structural(name, (70,))]
    counts = [
        f"{p.messages} messages, {p.masks} masks" + f", {sum(p.opened.values())} opened" * bool(p.opened)
        for p in proofs
    ]
    return f"| `{name}` | {'; '.join(dict.fromkeys(said))} | {'; '.join(dict.fromkeys(counts))} |\n"


def test_the_page_is_what_was_checked(request: pytest.FixtureRequest) -> None:
    text = HEAD + "".join(row(name) for name in sorted(PROTOCOLS))
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, "if the change is meant, run pytest --update-golden"
