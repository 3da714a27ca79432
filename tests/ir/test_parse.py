"""The parser is strict: text that is not a program raises ProgramError with the line, and nothing else happens."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmpc.errors import ProgramError
from jmpc.ir import tokens
from jmpc.ir.spec import verify
from jmpc.ir.text import parse_program, print_program
from jmpc.testing.draw.ir_programs import order_programs, share_programs
from tests.ir.test_text import GOLDEN

quick = settings(max_examples=300, deadline=None, derandomize=True)

HEADER = """\
program p
config k=64 f=18 protocol="aby3" network="lan" failure_bits=40 error=0.0001 prf="aes"
input %0 "x" : public int[] plain
"""
BITS = ("%0", "%1", "%9", "=", "{", "}", "(", ")", "[", "]", "<", ">", ",", ":", "@", '"', "\\", "2^", "-", " ", "\n")
BITS += (
    "block",
    "return",
    "max",
    "secret",
    "fixed<18>",
    "sum3",
    "loop",
    "neg",
    "none",
    "1e9",
    "nan",
    "é",
    "\x00",
    "\t",
)


def refused(text: str) -> str:
    with pytest.raises(ProgramError) as caught:
        parse_program(text)
    return str(caught.value)


def attempt(action: Callable[[], Any]) -> tuple[Any, str]:
    """What `action` returns, or None and the message of its ProgramError; any other exception is a failure."""
    try:
        return action(), ""
    except ProgramError as fault:
        return None, str(fault)


def parses_or_is_refused(text: str) -> None:
    """Either a ProgramError, or a program whose text is stable and on which `verify` raises ProgramError alone."""
    program, message = attempt(lambda: parse_program(text))
    if program is None:
        assert re.search(r"line \d+: ", message)
        return
    again = print_program(program)
    assert print_program(parse_program(again)) == again
    for stage in ("value", "share"):
        _, message = attempt(lambda stage=stage: verify(program, stage))
        assert not message or "rule '" in message


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """A good text after one to four cuts, copies and insertions."""
    text = GOLDEN if draw(st.booleans()) else print_program(draw(st.one_of(share_programs(), order_programs())))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(start + draw(st.integers(0, 12)), len(text))
        insert = draw(st.sampled_from(("", text[start:end] * 2, *BITS)))
        text = text[:start] + insert + text[end:]
    return text


@quick
@given(mutants())
def test_a_damaged_text_raises_program_errors_alone(text: str) -> None:
    parses_or_is_refused(text)


@quick
@given(st.text(max_size=200) | st.lists(st.sampled_from(BITS), max_size=40).map(" ".join))
def test_any_text_raises_program_errors_alone(text: str) -> None:
    parses_or_is_refused(text)
    parses_or_is_refused(HEADER + text)


@pytest.mark.parametrize("length", range(0, len(GOLDEN) - 1, 7))
def test_a_truncated_text_is_refused_or_shorter(length: int) -> None:
    parses_or_is_refused(GOLDEN[:length])


@pytest.mark.parametrize("text", ["", "\n\n", "program", "program p\n", HEADER[:-8], HEADER + "%1 = neg"])
def test_a_text_that_stops_early_is_refused(text: str) -> None:
    assert "expected" in refused(text)


def attribute(text: str) -> str:
    return HEADER + f"%1 = neg %0 {{a={text}}} : public int[] plain\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%1 = neg %7 : public int[] plain", "a value defined before in this block, found %7"),
        ("%1 = neg %1 : public int[] plain", "a value defined before in this block, found %1"),
        ("%0 = neg %0 : public int[] plain", "a new value, found %0"),
        ("%1, %1 = neg %0 : public int[] plain, public int[] plain", "a new value, found %1"),
        ("%1, %2 = neg %0 : public int[] plain", "one type for each of 2 values, not 1"),
        ("%1 = neg %0 : public real[] plain", "a kind: fixed, int, bool, found 'real'"),
        ("%1 = neg %0 : hidden int[] plain", "a visibility: public, local, secret, found 'hidden'"),
        ("%1 = neg %0 : public fixed[] plain", "'<', found '['"),
        ("%1 = neg %0 : public int[] cubes", "a form: plain, arith, bits, sum3, split, places, mask, found 'cubes'"),
        ("%1 = neg %0 : public int[] plain max 3 guessed", "the origin of the limit: inferred, declared, assumed"),
        ("%1 = neg %0 : public int[] plain max -3 inferred", "an integer of at least 0, found -3"),
        ("%1 = neg %0 : public int[2,] plain", "an integer, found ']'"),
        ("%1 = neg %0 : public int[-2] plain", "an integer of at least 0, found -2"),
        ("%1 = neg %0 : public int[007] plain", "',', found '0'"),
        ("%1 = neg %0 : public int[] plain @ here", "a string, found 'here'"),
        ("%1 = neg %0 : public int[] plain and more", "the end of the line, found 'and'"),
        ("%1 = neg %0 {a=1, a=2} : public int[] plain", "each attribute once, found 'a' again"),
        ("%1 = neg %0 {} : public int[] plain", "the name of an attribute, found '}'"),
        ("%1 = neg %0 {a=(1)} : public int[] plain", "',', found ')'"),
        ("%1 = neg %0 {a=(1,2,)} : public int[] plain", "a value of an attribute, found ')'"),
        ("%1 = neg %0 {a=yes} : public int[] plain", "a value of an attribute, found 'yes'"),
        ('%1 = neg %0 {a="x} : public int[] plain', "the end of a string"),
        ('%1 = neg %0 {a="\\q"} : public int[] plain', "a string with JSON escapes"),
        ('%1 = neg %0 {a="é"} : public int[] plain', "ASCII text"),
        ("%1 = neg\t%0 : public int[] plain", "a token, found '\\t%0"),
        ("%1 = loop {body=block() { return }} : public int[] plain", "the end of the line, found 'return'"),
        (
            "%1 = loop %0 {body=block() {\n  return %0\n}} : public int[] plain",
            "defined before in this block, found %0",
        ),
        ('input %1 "y" : public int[] plain\n%2 = neg %1', "':', found end of line"),
        ('output %0 "[0]" for "carol" int32', "'to', found 'for'"),
        (
            'output %0 "[0]" to "carol" int32\n%1 = neg %0 : public int[] plain',
            "an op, an output or the end of the text",
        ),
    ],
)
def test_the_error_says_what_was_expected(line: str, expected: str) -> None:
    assert expected in refused(HEADER + line + "\n")


def test_the_error_names_the_line() -> None:
    assert "--> line 4" in refused(HEADER + "%1 = neg\n")
    assert "--> line 2" in refused(HEADER.replace("k=64", "k=sixty"))


@pytest.mark.parametrize(
    ("old", "new"),
    [("k=64", "k=65"), ("f=18", "f=40"), ('"lan"', '"moon"'), ("k=64 ", ""), ('"aby3"', "3"), ("=40", "=40 check=1")],
)
def test_a_configuration_that_is_not_possible_is_refused(old: str, new: str) -> None:
    assert "line 2" in refused(HEADER.replace(old, new))


# --- limits


def test_deep_nesting_is_refused() -> None:
    assert parse_program(attribute("(" * 32 + ")" + ",)" * 31)).body.ops[0].attrs
    assert "32 levels of nesting" in refused(attribute("(" * 33 + ")" + ",)" * 32))
    assert "32 levels of nesting" in refused(attribute("(" * 2000))
    region = "".join(f"%{n} = loop {{body=block() {{\n" for n in range(1, 2000))
    assert "32 levels of nesting" in refused(HEADER + region)


@pytest.mark.parametrize("number", ["9" * 81, "9" * 100_000, "2^256", "2^99999", "2^" + "9" * 78, "-2^256", "9" * 80])
def test_huge_numbers_are_refused(number: str) -> None:
    assert re.search("an integer below 2\\^256|at most 80 characters", refused(attribute(number)))
    assert "line 4" in refused(HEADER + f"%1 = neg %0 : public int[{number}] plain\n")


def test_the_largest_numbers_are_read() -> None:
    assert parse_program(attribute("2^255-1")).body.ops[0].attrs["a"] == 2**255 - 1
    assert parse_program(attribute("-2^255+1")).body.ops[0].attrs["a"] == 1 - 2**255


def test_long_texts_names_and_value_numbers_are_refused() -> None:
    assert "at most 16777216 characters" in refused("\n" * (tokens.MAX_CHARS + 1))
    assert "a string of at most 4096 characters" in refused(attribute('"' + "x" * 4096 + '"'))
    assert "a word of at most 4096 characters" in refused("p" * 5000)
    assert "a value of at most 80 characters" in refused(HEADER + "%" + "1" * 100)


def test_the_message_quotes_little_of_the_text() -> None:
    assert len(refused(HEADER + "x" * 4000)) < 400
    assert len(refused(HEADER + '"' + "x" * 100_000)) < 400
