"""`jmpc doctor`: what is wrong, connectivity first, and what to do about it.

In: a party's settings, or a cluster's folder and a member. Out: faults, each with its fix. What is looked at is in
`jmpc.service` and `jmpc.cluster`; this file decides nothing.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jmpc.cluster import Fault, Identity, Roster, doctor, names
from jmpc.cluster.roster import FILE
from jmpc.command.printing import JSON_FLAG, count_text, fault_text, print_result
from jmpc.errors import ConfigError

if TYPE_CHECKING:
    from jmpc.service.reach import Reached

_NOT_TRIED = "nobody was asked: what is wrong with the cluster's file or this member's key comes first"


def examine(
    place: Annotated[
        Path | None,
        typer.Argument(metavar="WHERE", help="A party's `party.toml`, or a cluster's folder; this one if left out."),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="WHERE, as other commands have it.")] = None,
    cluster: Annotated[Path | None, typer.Option("--cluster", help="WHERE, as other commands have it.")] = None,
    name: Annotated[str, typer.Option("--as", help="A member of the cluster: `client/hospital-a`.")] = "",
    patience: Annotated[float, typer.Option(help="Seconds that a party is waited for.")] = 5.0,
    allow_root: Annotated[bool, typer.Option("--allow-root", help="A party that may run as root.")] = False,
    as_json: Annotated[bool, typer.Option(JSON_FLAG, help="Print one JSON object.")] = False,
) -> None:
    """Find what is wrong with a party, or with a client's way to the parties: each is asked over the network, then all
    files are looked at. Exits with 1 if a fault is found."""
    from jmpc.service.reach import reach

    given = [path for path in (place, config, cluster) if path is not None]
    if len(given) > 1:
        raise typer.BadParameter("it is said more than once", param_hint="WHERE")
    roster, identity, faults = _looked_at(given[0] if given else Path(), name, allow_root)
    found = reach(roster, identity, patience) if roster and identity else []
    faults = [*(reached.fault for reached in found if reached.fault), *faults]
    wrong = [fault for fault in faults if not fault.warning]
    counts = ", ".join(
        count_text(word, count)
        for word, count in (("fault", len(wrong)), ("warning", len(faults) - len(wrong)))
        if count
    )
    text = [*map(fault_text, faults), *map(_reached_text, found)] + ([] if found else [_NOT_TRIED])
    fields = {
        "faults": [fault.fields() for fault in faults],
        "reached": {names.party_name(one.party): None if one.fault else round(one.seconds, 4) for one in found},
    }
    print_result(as_json, "\n".join([*text, counts or "nothing is wrong"]), {"ok": not wrong, **fields})
    if wrong:
        raise typer.Exit(1)


def _looked_at(place: Path, name: str, allow_root: bool) -> tuple[Roster | None, Identity | None, list[Fault]]:
    now = dt.datetime.now(dt.UTC)
    if (place.name.endswith(".toml") and place.name != FILE) or (place / "party.toml").exists():
        from jmpc.daemon import checks, launch

        looked = checks.look(launch.config_path(place), now, allow_root=allow_root)
        return looked.roster, looked.identity, list(looked.faults)
    folder = place.parent if place.name == FILE else place
    member = _member(name, folder)
    roster, identity, faults = doctor.check_member(folder / FILE, folder / names.folder_of(member), member, now)
    return roster, identity, list(faults)


def _member(name: str, folder: Path) -> str:
    """Who is meant: whose key is here, if it is one."""
    if name:
        try:
            return names.member_name(name if "/" in name else names.CLIENT + name)
        except ValueError as exc:
            raise typer.BadParameter(f"{name!r} is no member: {exc}", param_hint="--as") from None
    here = [path.name for path in sorted(folder.glob("*-*")) if (path / "key.pem").exists()]
    if not here and not (folder / FILE).exists():
        raise ConfigError(
            f"there is no party.toml and no {FILE}",
            where=str(folder.absolute()),
            todo="name the one or the other: jmpc doctor FILE",
        )
    if len(here) != 1:
        raise ConfigError(
            "it is not said whose way to the parties to look at",
            where="--as",
            why=f"{folder.absolute()} holds the keys of {', '.join(here) or 'nobody'}",
            todo="give --as NAME, the member whose key it is",
        )
    return names.member_name(here[0].replace("-", "/", 1))


def _reached_text(found: Reached) -> str:
    name = names.party_name(found.party)
    return f"{name}: {'not reached' if found.fault else f'answers in {1e3 * found.seconds:.1f} ms'}"
