"""Every registered protocol is private: exactly on a tiny ring, and by its masks at the ring widths that users have."""

from __future__ import annotations

import pytest

from jmpc.config import Config
from jmpc.protocols.registry import PROTOCOLS
from jmpc.testing.build import config_of
from jmpc.testing.privacy_exact import check_private_exact
from jmpc.testing.privacy_structural import check_private_structural, mask_uses
from jmpc.testing.simulate import traces
from tests.testing.privacy_cases import CASES, Case

WIDTHS = (Config(), Config(k=32, f=8), config_of(13, 2))
MISSING = "add a case for {} to tests/testing/privacy_cases.py"


def cases(name: str) -> list[Case]:
    assert CASES.get(name), MISSING.format(name)
    return CASES[name]


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_exactly_private(name: str) -> None:
    for case in cases(name):
        config = config_of(case.k, 0)
        if case.local:
            assert is_local(case, name)
        elif case.parts:
            assert case.why
        else:
            made = check_private_exact(
                name, case.inputs, case.attrs, config=config, tied=case.tied, unknown=case.unknown
            )
            assert made.runs >= 64
            assert made.k == case.k


def is_local(case: Case, name: str) -> bool:
    """Nothing drawn and nothing sent: the view is the party's own shares."""
    made = traces(case.program(name, (3,), config_of(case.k, 0)))
    sent = [e for t in made for e in t.jaxpr.eqns if e.primitive.name in ("exchange", "party_loop")]
    return not sent and not any(list(mask_uses(t)) for t in made)


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
@pytest.mark.parametrize("shape", [(), (70,)])
def test_every_message_is_masked(name: str, shape: tuple[int, ...]) -> None:
    for case in cases(name):
        for config in WIDTHS:
            found = check_private_structural(case.program(name, shape, config))
            assert (found.messages == 0) == case.local
            assert sum(found.opened.values()) == case.opens
