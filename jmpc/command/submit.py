"""`jmpc submit`: run a program's text at a cluster, on files and stored values. `jmpc status`: how its parties are.

In: arguments. Out: how far it is, on standard error; then the results, or where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from jmpc.command.client import HERE, As, Days, Json, Where, connected, period, told, who
from jmpc.command.printing import print_result
from jmpc.command.program_tables import plain
from jmpc.errors import ConfigError, DeadlineError, JMPCError

if TYPE_CHECKING:
    from jmpc.backends import RunStats
    from jmpc.client.job import Job
    from jmpc.client.submitted import Order

_LOOK_S = 0.5
_PAIRS = "PATH=FILE"


def submit(
    program: Annotated[Path, typer.Argument(metavar="PROGRAM", help="The file of its text (`program_text`).")],
    given: Annotated[
        list[str] | None, typer.Option("--input", metavar=_PAIRS, help="A file for the inputs at a path. Repeat it.")
    ] = None,
    stored: Annotated[
        list[str] | None, typer.Option(metavar="PATH=NAME", help="A stored value for the inputs at a path. Repeat it.")
    ] = None,
    keep: Annotated[str, typer.Option(metavar="NAME", help="Where what stays shared is stored.")] = "",
    leave: Annotated[
        list[str] | None,
        typer.Option(metavar="RECEIVER=NAME", help="Where a result waits for who is not here. Repeat it."),
    ] = None,
    days: Days = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="A new `.npz` for what you learn.")] = None,
    label: Annotated[str, typer.Option(help="By which several clients make one call together.")] = "",
    name: As = "",
    cluster: Where = HERE,
    as_json: Json = False,
) -> None:
    """Run a program at a cluster. Its inputs are named as `jmpc inspect` shows them, or by their number: `#2=x.npy`."""
    from jmpc.client import files
    from jmpc.client.submitted import Submission
    from jmpc.command.programs import named, text_of

    if out is not None:
        files.writable(out)
    order = _order(given, stored, keep, leave, days, label)
    text = text_of(str(program))[1]
    with named(str(program)):
        submission = Submission(text)
    with connected(cluster, name) as here:
        if out is not None and not submission.learned_by(here.name, order):
            raise ConfigError("no result comes back to be written", where="--out", todo="leave it out")
        results = _waited(submission.start(here, order), as_json)
        stats = here.last_run
    assert stats is not None
    _print(as_json, submission.hash, order, stats, results, out)


def _order(
    given: Sequence[str] | None, stored: Sequence[str] | None, keep: str, leave: Sequence[str] | None,
    days: float | None, label: str,
) -> Order:  # fmt: skip
    """What the command line says, with the files read."""
    from jmpc.client import files
    from jmpc.client.submitted import Order
    from jmpc.client.values import seconds_of

    inputs = {path: files.read(Path(file)) for path, file in _pairs(given, "--input").items()}
    expires = seconds_of(period(days), "--days")
    return Order(inputs, _pairs(stored, "--stored"), keep, _pairs(leave, "--leave"), expires, label)


def _print(
    as_json: bool, program: str, order: Order, stats: RunStats, results: dict[str, Any], out: Path | None
) -> None:
    places = {"kept": order.keep} if order.keep else {}
    places |= {f"left for {receiver}": at for receiver, at in order.leave.items()}
    if not as_json:
        for what, place in places.items():
            typer.echo(f"{plain(what)}: {plain(place)}")
        typer.echo(f"{stats.rounds} rounds, {stats.seconds:.3g} s")
    fields = {"program": program, "rounds": stats.rounds, "seconds": round(stats.seconds, 6), "places": places}
    if results or as_json:
        told(as_json, results, out, fields)


def _waited(job: Job, quiet: bool) -> dict[str, Any]:
    """What a job gives. On a terminal one line says how far it is; elsewhere each new state is a line."""
    from rich.console import Console

    console, last = Console(stderr=True, quiet=quiet, highlight=False), ""
    with console.status(plain(job.name)) if console.is_terminal else nullcontext():
        while True:
            try:
                return job.result(_LOOK_S)
            except DeadlineError:
                if job.done():
                    return job.result()
            except KeyboardInterrupt:
                job.cancel()
                raise
            said = f"{plain(job.name)}: {job.progress}"
            if said != last and not console.is_terminal:
                console.print(said, markup=False)
            last = said


def status(
    patience: Annotated[float, typer.Option(help="Seconds that a party is waited for.")] = 5.0,
    name: As = "",
    cluster: Where = HERE,
    as_json: Json = False,
) -> None:
    """Ask each party of a cluster how it is. Exits with 1 if one is not ready."""
    from jmpc.client.cluster import member_of
    from jmpc.client.states import states

    roster, identity = member_of(cluster, who(name))
    found = states(roster, identity, patience)
    ready = all(isinstance(state, dict) and state.get("ready") is True for state in found)
    ends = identity.ends
    lines = [f"cluster {roster.name}, revision {roster.revision}, as {identity.name}"]
    names = [party.name for party in roster.parties]
    lines += [_state_text(names, party, state) for party, state in enumerate(found)]
    lines.append(f"your certificate ends on {ends:%Y-%m-%d}")
    fields = {party.name: _state_fields(state) for party, state in zip(roster.parties, found, strict=True)}
    about = {"cluster": roster.name, "revision": roster.revision, "as": identity.name}
    print_result(
        as_json, "\n".join(lines), {"ok": ready, **about, "certificate_ends": ends.isoformat(), "parties": fields}
    )
    if not ready:
        raise typer.Exit(1)


def _state_text(names: Sequence[str], party: int, state: dict[str, Any] | JMPCError) -> str:
    if isinstance(state, JMPCError):
        return f"{names[party]}: not reached: {state.what}{f' ({state.why})' if state.why else ''}"
    sessions: dict[str, Any] = state.get("sessions") or {}
    said = [
        "ready" if state.get("ready") is True else f"not ready{_why_not(names, party, state)}",
        f"jmpc {plain(str(state.get('version')))}",
        f"{sessions.get('running')} sessions run now, {sessions.get('queued')} wait",
        f"{state.get('values')} values",
        f"its certificate ends on {plain(str(state.get('certificate_ends')))[:10]}",
    ]
    return f"{names[party]}: {', '.join(said)}"


def _why_not(names: Sequence[str], party: int, state: dict[str, Any]) -> str:
    """Whom a party misses, as far as it says so."""
    peers: object = state.get("peers")
    connected = cast("list[object]", peers) if isinstance(peers, list) else list(range(len(names)))
    missed = [name for other, name in enumerate(names) if other != party and other not in connected]
    return f" (not connected to {' and '.join(missed)})" if missed else ""


def _state_fields(state: dict[str, Any] | JMPCError) -> dict[str, object]:
    if isinstance(state, JMPCError):
        return {"reached": False, "error": type(state).__name__, "what": state.what, "why": state.why}
    return {"reached": True, **state}


def _pairs(given: Sequence[str] | None, where: str) -> dict[str, str]:
    found = dict[str, str]()
    for pair in given or []:
        path, equals, what = pair.rpartition("=")
        if not equals or not path or not what or path in found:
            raise typer.BadParameter(f"{pair!r} is not PATH=WHAT, each path once", param_hint=where)
        found[path] = what
    return found
