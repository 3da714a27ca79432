"""What a failed privacy check says: the line of the protocol, the party, the keys, two inputs and what they show."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from jax import lax

import jmpc.testing
from jmpc.config import Config
from jmpc.families.protocol import Entry
from jmpc.families.replicated3.protocols.share import BITS, combine
from jmpc.families.replicated3.table import PROTOCOLS
from jmpc.ir.types import INT, SUM3, Type, secret_bits
from jmpc.party.protocol_line import protocol_line
from jmpc.testing import PrivacyError, check_private_exact, check_private_statistical, check_private_structural
from jmpc.testing.build import config_of, one_op
from jmpc.testing.simulator.shares import hold, worth


def telling_and(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    """Party 1 sends its second summand of the first operand to party 0 as it is, and all go on as they should."""
    if me.index == 1:
        me.exchange(to_prv=held[0][1])  # the leak
    else:
        me.exchange(from_nxt=(held[0][0].shape, BITS.dtype)) if me.index == 0 else me.exchange()
    return PROTOCOLS["and"].run(me, held, types, attrs)


LEAKS = {**PROTOCOLS, "and": Entry("and", telling_and, "a test")}
LINE = next(n for n, line in enumerate(inspect.getsource(telling_and).splitlines()) if "# the leak" in line)
WHERE = f"{__file__}:{inspect.getsourcelines(telling_and)[1] + LINE} (telling_and)"


def caught(check: Any, *args: Any, **options: Any) -> PrivacyError:
    with pytest.raises(PrivacyError) as found:
        check(*args, protocols=LEAKS, **options)
    return found.value


def program(shape: tuple[int, ...] = (3,), config: Config | None = None) -> Any:
    return one_op("and", [secret_bits(shape)] * 2, config or Config())


def test_the_exact_level_shows_two_inputs_a_view_and_how_often_it_is_seen() -> None:
    error = caught(check_private_exact, lambda shape: program(shape, config_of(2, 0)))
    text = str(error)
    assert text.startswith("party 0 learns something: ")
    assert f"protocol: {WHERE}" in text
    assert "masks that it does not know: mask 0 of op 0, of the key of parties 1 and 2" in text
    first, second = re.search(r"inputs: \((.*)\), or \((.*)\)", text).groups()  # type: ignore[union-attr]
    assert first != second
    seen = re.search(r"it sees: shares \[(.*)\], masks \[(.*)\], messages \[(.*)\]", text)
    assert seen is not None
    often, seldom = (float(x) for x in re.search(r"of that: (\S+) of the first, (\S+) of the", text).groups())  # type: ignore[union-attr]
    assert seldom < often <= 1
    shares = [int(x) for x in seen[1].split(",")]
    values = [[int(x) for x in one.split(",")] for one in (first, second)]
    assert values[0][0] == shares[0] ^ shares[1] ^ int(seen[3]), "the message is the summand that party 0 lacks"
    assert values[0] != values[1]


def unreduced_reshare(me: Any, held: Any, types: Any, attrs: Any) -> Any:
    """With a mask of whole words, of which more is sent than the ring has bits."""
    z = held[0] + me.mask("nxt", types[0].shape) - me.mask("prv", types[0].shape)
    got = me.exchange(to_prv=z, from_nxt=(types[0].shape, me.ring.dtype))
    return me.ring.reduce(z), me.ring.reduce(got)


def test_what_is_not_reduced_before_it_is_sent_is_said_to_be() -> None:
    table = {**PROTOCOLS, "reshare": Entry("reshare", unreduced_reshare, "a test")}

    def inputs(shape: tuple[int, ...]) -> list[Type]:
        return [Type(shape, INT, form=SUM3)]

    with pytest.raises(PrivacyError, match="it has bits above the 2 of the ring: reduce what is sent") as found:
        check_private_exact("reshare", inputs, config=config_of(2, 0), protocols=table)
    assert "(unreduced_reshare)" in str(found.value)


def test_what_has_no_proof_is_not_called_a_leak() -> None:
    error = caught(check_private_structural, program())
    assert str(error).startswith("not proved private from party 0: a message depends on no mask that it does not know")
    assert f"protocol: {WHERE}" in str(error)
    assert "learns" not in str(error)


def test_the_statistical_level_says_how_often_a_value_is_seen() -> None:
    given = [[True] * 3] * 2, [[False] * 3] * 2
    error = caught(check_private_statistical, program(), *given, runs=2000)
    assert f"protocol: {WHERE}" in str(error) or "what it takes in by" in str(error)
    if "a byte depends" in str(error):
        assert re.search(r"probability of the value \d+: \S+ of the first input, \S+ of the second", str(error))


def test_a_line_of_jmpcs_own_names_the_authors_that_called_it() -> None:
    ours = combine.__code__.co_filename
    calls = [
        (lax.__file__, 3, "add"),
        (ours, 10, "Me.exchange"),
        (ours, 12, "combine"),
        ("/home/me/mine.py", 5, "outer.<locals>.mine"),
        (inspect.getsourcefile(jmpc.testing.build) or "", 9, "run"),
        ("/home/me/test_mine.py", 7, "test"),
    ]
    assert protocol_line(calls) == f"{ours}:12 (combine), called at /home/me/mine.py:5 (mine)"
    assert protocol_line([calls[3], calls[4]]) == "/home/me/mine.py:5 (mine)"
    assert protocol_line(calls[4:]) == ""


HELPED = {**{name: getattr(jmpc.testing, name) for name in jmpc.testing._HOMES}, "hold": hold, "worth": worth}


@pytest.mark.parametrize("name", sorted(HELPED))
def test_help_is_short(name: str) -> None:
    """No default value fills the screen."""
    found = HELPED[name]
    functions = (
        [found, *(m for _, m in inspect.getmembers(found, inspect.isfunction))] if inspect.isclass(found) else [found]
    )
    for function in functions:
        assert len(str(inspect.signature(function))) < 1200
