"""Whose a value is, and who learns one: an owner's name, or a role that nobody's name is.

In an argument or an input of a program it says who supplies it, in a result who learns it. A name is a text that users
choose. A role reads as a text where programs are printed and parsed, so that names and roles share one field; which
texts are no names is said here.
"""

from __future__ import annotations

from enum import StrEnum

MOST_CHARACTERS = 200


class Role(StrEnum):
    """PUBLIC: everybody may know the value.  CALLER: who makes the call, where nobody is named.  SECRET: a value that
    stays shared among the parties, which no owner supplies and nobody learns; users say `jmpc.SECRET`."""

    PUBLIC = ""
    CALLER = "caller"
    SECRET = "jmpc.SECRET"

    def __repr__(self) -> str:
        return repr(self.value)


WORDS = ("everybody", "the caller")  # by which reports speak of roles


def work_of(owner: str) -> str:
    """Where a value sits that no argument holds: an owner, or for the empty text everybody, computes it first."""
    return f"(work of {owner})" if owner else "(public)"


def name_fault(owner: object) -> str:
    """Why nobody can have this name, or ""."""
    if not isinstance(owner, str):
        return "an owner is named by a text"
    if owner == Role.SECRET:
        return "it is jmpc.SECRET, which says of a result that it stays shared"
    if not owner or not owner.isprintable():
        return "a name has at least one character, and every one can be printed"
    if len(owner) > MOST_CHARACTERS:
        return f"a name has at most {MOST_CHARACTERS} characters"
    if owner in WORDS:
        return "by this word reports speak of those who have no name"
    return ""
