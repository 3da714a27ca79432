"""The list of all values at a cluster, page by page.

In: what the parties list after a name, each as much as a page of its own holds. Out: one `Entry` a value, by name, or
an error that names a party. Of each name all parties are asked at once: a page ends where that of any party ends, and
what others said beyond is asked again. So a value that is put or deleted between two pages is in the list or not; one
that changes while parties answer is looked at again before they are said to disagree.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmpc.client import asking
from jmpc.client.links import Bundle
from jmpc.client.values import Entry, entry_of
from jmpc.errors import PartyError
from jmpc.runtime.failure import Place, party_name
from jmpc.runtime.messages import size_of
from jmpc.runtime.requests import PAGE_BYTES, VALUE_FIELDS

MOST_PAGES = 1000
PAUSES_S = (0.2, 0.8, 2.0)  # until what parties disagree on is asked again: they commit one after the other
_PHASE = "values"
Row = dict[str, Any]


@dataclass(frozen=True)
class _Page:
    """tables: by party, what it has by name.  end: the last name, where more follow.  longer: who says so."""

    tables: Sequence[Mapping[str, Row]]
    end: str
    longer: Sequence[int]

    def entries(self) -> list[Entry]:
        """Raises PartyError where the parties disagree on one."""
        names = sorted({name for table in self.tables for name in table})
        return [entry_of([table.get(name) for table in self.tables]) for name in names]


def listed(bundle: Bundle) -> list[Entry]:
    """All values, by name. Raises PartyError."""
    found, after, longer = list[Entry](), "", (0,)
    for _ in range(MOST_PAGES):
        page, entries = _settled(bundle, after)
        found += entries
        after, longer = page.end, page.longer
        if not longer:
            return found
    raise PartyError(
        f"{' and '.join(map(party_name, longer))} lists values without end",
        where=Place(phase=_PHASE, peer=party_name(longer[0])),
        why=f"more follow after {MOST_PAGES:,} pages",
        todo="ask its operator; one value that you know by name: cluster.describe(NAME)",
    )


def _settled(bundle: Bundle, after: str) -> tuple[_Page, list[Entry]]:
    """A page on which the parties agree, or go on to disagree."""
    before: _Page | None = None
    for pause_s in PAUSES_S:
        page = _asked(bundle, after)
        try:
            entries = page.entries()
        except PartyError:
            pass  # it may be over by then
        else:
            if page == before or not any(entry.missing for entry in entries):
                return page, entries
        before = page
        time.sleep(pause_s)
    page = _asked(bundle, after)
    return page, page.entries()


def _asked(bundle: Bundle, after: str) -> _Page:
    said = asking.ask(bundle, _PHASE, {"after": after}, "listed")
    tables = [_table(party, fields, after) for party, fields in enumerate(said)]
    longer = [party for party, fields in enumerate(said) if fields["more"]]
    end = min((max(tables[party]) for party in longer), default="")
    if longer:
        tables = [{name: row for name, row in table.items() if name <= end} for table in tables]
    return _Page(tables, end, longer)


def _table(party: int, fields: Mapping[str, Any], after: str) -> dict[str, Row]:
    """What a party lists, by name. Raises PartyError for what is no page, so that each is one step on."""
    rows: list[list[Any]] = fields["entries"]
    names = [row[0] for row in rows]
    why = ""
    if names != sorted(set(names)) or (names and names[0] <= after):
        why = "it was asked for the values after a name, each once, in order"
    elif fields["more"] and not rows:
        why = "it lists none, and says that more follow"
    elif len(rows) > 1 and sum(map(size_of, rows)) > PAGE_BYTES:
        why = f"it has more than {PAGE_BYTES:,} bytes"
    if why:
        name = party_name(party)
        raise PartyError(f"{name} sends no page of values", where=Place(phase=_PHASE, peer=name), why=why)
    return {row[0]: dict(zip(VALUE_FIELDS, row, strict=True)) for row in rows}
