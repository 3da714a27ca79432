"""The tokens of IR text: what a word, a number, a string and a mark look like, and the limits on each.

What goes in: text from anyone. What comes out: tokens with line numbers, lazily; `ProgramError` at the first
character that belongs to no token; and integers and strings, to text and back. Not here: the grammar (`parse.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from jmpc.errors import ProgramError

MAX_CHARS = 1 << 24
MAX_TOKEN_CHARS = 4096
MAX_NUMBER_CHARS = 80
MAX_INT_BITS = 256
MAX_DEPTH = 32

STRING, FLOAT, INTEGER, VALUE, WORD, MARK = "string", "float", "integer", "value", "word", "mark"
NEWLINE, END = "end of line", "end of text"

_TOKEN = re.compile(
    r"""
      (?P<space>[ ]+)
    | (?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")
    | (?P<float>-?(?:[0-9]+\.[0-9]+(?:e[+-]?[0-9]+)?|[0-9]+e[+-]?[0-9]+|inf\b)|nan\b)
    | (?P<integer>-?(?:2\^[0-9]+(?:[+-][0-9]+)?|0|[1-9][0-9]*))
    | (?P<value>%(?:0|[1-9][0-9]*))
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>[=:,()\[\]{}<>@])
    """,
    re.VERBOSE | re.ASCII,
)
_INTEGER = re.compile(r"(-?)(?:2\^([0-9]+)([+-][0-9]+)?|([0-9]+))", re.ASCII)


class Token(NamedTuple):
    kind: str
    text: str
    line: int


def refuse(line: int, message: str) -> ProgramError:
    """The error for a fault in line `line`, counted from 1."""
    return ProgramError(
        f"program text, line {line}: {message}",
        where=f"line {line}",
        todo="use the text that print_program writes; the grammar is at the top of jmpc/ir/parse.py",
    )


def tokens(text: str) -> Iterator[Token]:
    """The tokens of `text`; an end-of-line token after each line that is not empty, and one at the end."""
    if len(text) > MAX_CHARS:
        raise refuse(1, f"expected at most {MAX_CHARS} characters, found {len(text)}")
    number = 0
    for number, line in enumerate(text.split("\n"), start=1):
        start = 0
        while start < len(line):
            token = _next(line, start, number)
            start += len(token.text)
            if token.kind != "space":
                yield token
        if line.strip(" "):
            yield Token(NEWLINE, "", number)
    yield Token(END, "", number)


def _next(line: str, start: int, number: int) -> Token:
    match = _TOKEN.match(line, start)
    if match is None or match.lastgroup is None:
        expected = "the end of a string" if line[start] == '"' else "a token"
        raise refuse(number, f"expected {expected}, found {line[start : start + 20]!a}")
    token = Token(match.lastgroup, match.group(), number)
    limit = MAX_NUMBER_CHARS if token.kind in (FLOAT, INTEGER, VALUE) else MAX_TOKEN_CHARS
    if token.kind != "space" and len(token.text) > limit:
        raise refuse(number, f"expected a {token.kind} of at most {limit} characters, found {len(token.text)}")
    if not token.text.isascii():
        raise refuse(number, f"expected ASCII text, found {token.text[:20]!a}")
    return token


def read_integer(token: Token) -> int:
    """`-12`, `2^44`, `2^44-1` or `-2^44+1`: the sign belongs to the power."""
    match = _INTEGER.fullmatch(token.text)
    if match is None:
        raise refuse(token.line, f"expected an integer, found {token.text!r}")
    sign, power, offset, digits = match.groups()
    if power is not None and (len(power) > 4 or int(power) >= MAX_INT_BITS):
        raise refuse(token.line, f"expected an integer below 2^{MAX_INT_BITS}, found {token.text}")
    value = int(digits) if power is None else 1 << int(power)
    value = (-value if sign else value) + int(offset or 0)
    if value.bit_length() > MAX_INT_BITS:
        raise refuse(token.line, f"expected an integer below 2^{MAX_INT_BITS}, found {token.text}")
    return value


def write_integer(value: int) -> str:
    """Decimal, or short form where `value` is large and within 999 of a power of two."""
    value = int(value)
    if value.bit_length() > MAX_INT_BITS - 1:
        raise ProgramError(f"an integer of {value.bit_length()} bits; the text form holds {MAX_INT_BITS - 1}")
    magnitude = abs(value)
    if magnitude >= 1 << 16:
        exponent = (magnitude + 999).bit_length() - 1
        for power in (exponent, exponent - 1):
            offset = value - (1 << power if value > 0 else -(1 << power))
            if abs(offset) <= 999:
                return f"{'-' if value < 0 else ''}2^{power}" + (f"{offset:+d}" if offset else "")
    return repr(value)


def read_string(token: Token) -> str:
    try:
        return json.loads(token.text)
    except json.JSONDecodeError as fault:
        raise refuse(token.line, f"expected a string with JSON escapes, found {token.text[:40]}") from fault


def write_string(value: str) -> str:
    text = json.dumps(value)
    if len(text) > MAX_TOKEN_CHARS:
        raise ProgramError(f"a string of {len(text)} characters; the text form holds {MAX_TOKEN_CHARS}")
    return text


def is_word(text: str) -> bool:
    match = _TOKEN.fullmatch(text)
    return match is not None and match.lastgroup == WORD
