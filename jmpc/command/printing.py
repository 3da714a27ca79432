"""How commands print what they did, what is wrong, and errors: for people, or as one JSON object with `--json`.

In: results and errors. Out: text. No key and no passphrase comes here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import typer

from jmpc.cluster import Fault, Report, Roster
from jmpc.cluster.members import moment_text
from jmpc.errors import JMPCError

JSON_FLAG = "--json"


def print_result(as_json: bool, text: str, fields: Mapping[str, object]) -> None:
    """What a command did."""
    _print(json.dumps({"ok": True, **fields}, indent=2) if as_json else text)


def print_error(error: JMPCError, as_json: bool) -> None:
    """Why a command did nothing."""
    if as_json:
        said = {"what": error.what, "where": str(error.where), "why": error.why, "todo": error.todo}
        _print(json.dumps({"ok": False, "error": said}, indent=2))
    else:
        _print(f"error: {error.render()}", to_errors=True)


def print_word(text: str) -> None:
    """What a command waits for. Standard output is left to what it gives."""
    _print(text, to_errors=True)


def _print(text: str, to_errors: bool = False) -> None:
    """Also where a path is in it that is no text; nothing that a terminal would obey, which others may have written."""
    shown = text.encode(errors="replace").decode()
    typer.echo("".join(char if char.isprintable() or char in "\n\t" else "?" for char in shown), err=to_errors)


def roster_fields(roster: Roster) -> dict[str, Any]:
    """What `--json` says of a cluster."""
    authority = roster.certificate
    return {
        "cluster": roster.name,
        "id": roster.id,
        "revision": roster.revision,
        "hash": roster.hash,
        "changed": moment_text(roster.changed),
        "authority_ends": moment_text(authority.not_valid_after_utc),
        "deadlines": asdict(roster.deadlines),
        "parties": [{**_member(roster, party.name, party.key), "address": party.place} for party in roster.parties],
        "clients": [_member(roster, client.name, client.key) for client in roster.clients],
        "revoked": [{**asdict(row), "on": moment_text(row.on)} for row in roster.revoked],
    }


def _member(roster: Roster, name: str, key: str) -> dict[str, str]:
    return {"name": name, "identity": roster.uri(name), "key": key}


def roster_text(roster: Roster) -> str:
    """A cluster as a table."""
    wide = max(len(member.name) for member in roster.members)
    places = max(len(party.place) for party in roster.parties)
    rows = [
        f"  {member.name:{wide}}  {member.place:{places}}  {member.key or 'has no key: it cannot connect'}"
        for member in roster.members
    ]
    ends = f"{roster.certificate.not_valid_after_utc:%Y-%m-%d}"
    return "\n".join(
        [
            headline(roster),
            *rows,
            f"revoked: {len(roster.revoked)}; deadlines: {roster.deadlines.round_s:g} s a round, "
            f"{roster.deadlines.launch_s:g} s to start; the authority's certificate ends on {ends}",
            hash_line(roster),
        ]
    )


def headline(roster: Roster) -> str:
    """What is said of a cluster first."""
    clients = len(roster.clients)
    counts = f"{len(roster.parties)} parties, {clients} client{'s' * (clients != 1)}"
    return f"cluster {roster.name}, revision {roster.revision}: {counts}"


def hash_line(roster: Roster) -> str:
    """What all must have the same."""
    return f"hash of cluster.toml: {roster.hash}"


def report_text(report: Report, folder: str) -> str:
    """What a check found, fault by fault."""
    blocks = [fault_text(fault) for fault in report.faults]
    warned = sum(fault.warning for fault in report.faults)
    wrong = len(report.faults) - warned
    found = ", ".join(count_text(word, count) for word, count in (("fault", wrong), ("warning", warned)) if count)
    where = headline(report.roster) if report.roster else folder
    looked = f"; looked into {', '.join(report.members)}" if report.members else ""
    return "\n".join([*blocks, f"{where}{looked}: {found or 'nothing is wrong'}"])


def fault_text(fault: Fault) -> str:
    """One fault, by its name."""
    return f"{'warning' if fault.warning else 'fault'} {fault.name}: {fault.error().render()}"


def count_text(word: str, count: int) -> str:
    """So many of something."""
    return f"{count} {word}{'s' * (count != 1)}"
