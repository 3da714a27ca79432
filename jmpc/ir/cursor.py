"""A cursor over the tokens of IR text: look at the next one, take it, or say what was expected instead.

What goes in: text. What comes out: words, strings and integers, one by one. Not here: the grammar (`parse.py`).
"""

from __future__ import annotations

from jmpc.errors import ProgramError
from jmpc.ir.tokens import (
    END,
    INTEGER,
    MARK,
    MAX_DEPTH,
    NEWLINE,
    STRING,
    WORD,
    Token,
    read_integer,
    read_string,
    refuse,
    tokens,
)


class Cursor:
    """`now` is the next token; `depth` counts how deep the reader is in nested parts."""

    def __init__(self, text: str) -> None:
        self.stream = tokens(text)
        self.now = next(self.stream)
        self.depth = 0

    def fail(self, expected: str) -> ProgramError:
        found = repr(self.now.text[:40]) if self.now.text else self.now.kind
        return refuse(self.now.line, f"expected {expected}, found {found}")

    def take(self, kind: str, expected: str = "") -> Token:
        token = self.now
        if token.kind != kind:
            raise self.fail(expected or f"{'an' if kind == INTEGER else 'a'} {kind}")
        if kind != END:
            self.now = next(self.stream)
        return token

    def at(self, text: str) -> bool:
        return self.now.text == text and self.now.kind in (MARK, WORD)

    def skip(self, text: str) -> bool:
        """Take the mark or word `text` if it is next."""
        if not self.at(text):
            return False
        self.now = next(self.stream)
        return True

    def need(self, text: str) -> None:
        if not self.skip(text):
            raise self.fail(repr(text))

    def end_line(self) -> None:
        self.take(NEWLINE, "the end of the line")

    def string(self) -> str:
        return read_string(self.take(STRING))

    def integer(self) -> int:
        """An integer of at least 0."""
        token = self.take(INTEGER)
        value = read_integer(token)
        if value < 0:
            raise refuse(token.line, f"expected an integer of at least 0, found {token.text}")
        return value

    def name(self) -> str:
        return self.string() if self.now.kind == STRING else self.take(WORD, "a name").text

    def one_of(self, words: tuple[str, ...], what: str) -> str:
        if self.now.kind != WORD or self.now.text not in words:
            raise self.fail(f"{what}: {', '.join(words)}")
        return self.take(WORD).text

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(f"at most {MAX_DEPTH} levels of nesting")
