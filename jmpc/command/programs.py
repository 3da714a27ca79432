"""`jmpc programs`: what clients submitted, what may run; approve, revoke. And `jmpc inspect`, `jmpc cost`.

In: arguments. Out: what was done, printed. What is done is in `jmpc.service`; this file decides nothing. What is about
a program's text loads JAX, which `list` and `revoke` do without.
"""

from __future__ import annotations

import datetime as dt
import os
import pwd
import re
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from jmpc import roles
from jmpc.approval import kept
from jmpc.approval.approvals import Approval, Approvals
from jmpc.approval.ledger import FILE as LEDGER
from jmpc.approval.ledger import Ledger, Submitted
from jmpc.cluster.faults import file_error, files_of
from jmpc.command import program_tables as tables
from jmpc.command.printing import JSON_FLAG, print_result
from jmpc.daemon import launch
from jmpc.daemon.settings import Settings
from jmpc.errors import ConfigError, ProgramError

app = typer.Typer(
    help="What clients submitted, and what may run: list, show, approve, revoke.",
    no_args_is_help=False,
    rich_markup_mode="markdown",
)
CONFIG, POLICY = "party.toml", "policy.toml"
SUFFIX, LEAST_DIGITS = ".share", 8
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help=f"The party's `{CONFIG}`; that of this folder, if not given."),
]
Folder = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help="The folder of programs itself, with no configuration.")
]
Json = Annotated[bool, typer.Option(JSON_FLAG, help="Print one JSON object.")]
Which = Annotated[
    str, typer.Argument(metavar="PROGRAM", help="A program's hash, or its first digits; or a file that holds its text.")
]
Note = Annotated[str, typer.Option("--note", help="Why, for those who read this later.")]
By = Annotated[str, typer.Option("--by", help="Who decides; by default the user who runs this.")]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a party keeps its programs."""

    folder: Path
    policy: Path


@app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("list")
def list_(config: Config = None, folder: Folder = None, as_json: Json = False) -> None:
    """List the programs that this party knows, and what stands of each."""
    place = _place(config, folder)
    rows = _rows(place.folder)
    now = _now()
    print_result(as_json, tables.rows_text(rows, now), {"programs": tables.rows_fields(rows, now)})


@app.command()
def show(which: Which, config: Config = None, folder: Folder = None, as_json: Json = False) -> None:
    """Show what stands of a program, what the policy says of it, and what it does."""
    from jmpc.approval.facts import seconds_of
    from jmpc.approval.programs import Programs

    place = _place(config, folder)
    program = _found(which, place)
    row = next(row for row in _rows(place.folder) if row.program == program)
    with closing(Programs(place.folder, place.policy)) as programs:
        facts, history = programs.facts(program), [r for r in programs.approvals.records() if r.program == program]
        if facts is None:
            raise _gone(program, place)
        clients = row.submitters or ("a client",)
        verdicts = [(client, rule.where, why) for client in clients for rule, why in programs.verdicts(facts, client)]
        allowed = {client: programs.refusal(program, client) for client in row.submitters}
        costs = programs.costs(program)
    decided = [tables.approval_text(record) for record in history] or ["nobody has decided about it"]
    by_rule = [f"{where}, for {client}: {why or 'allowed'}" for client, where, why in verdicts]
    text = [*decided, *by_rule, *(f"now, for {client}: {why or 'it may run'}" for client, why in allowed.items())]
    fields = {
        "history": [record.fields() for record in history],
        "policy": [{"client": client, "rule": where, "refusal": why} for client, where, why in verdicts],
        "refusals": allowed,
        "runs": row.runs,
        **tables.facts_fields(facts, costs, seconds_of(costs)),
    }
    print_result(as_json, "\n".join([*text, "", tables.facts_text(facts, costs, seconds_of(costs))]), fields)


@app.command()
def approve(
    which: Which,
    config: Config = None,
    folder: Folder = None,
    client: Annotated[list[str] | None, typer.Option("--client", help="For this client; again for others.")] = None,
    until: Annotated[str, typer.Option("--until", metavar="DATE", help="Until then: `2027-01-31`.")] = "",
    per_day: Annotated[int, typer.Option("--per-day", min=0, help="Runs of each client in 24 hours.")] = 0,
    note: Note = "",
    by: By = "",
    as_json: Json = False,
) -> None:
    """Let a program run at this party. Look at it first: `jmpc inspect`."""
    from jmpc.approval.facts import facts_of

    place = _place(config, folder)
    program, text = _text(which, place)
    with named(which):
        facts = facts_of(text)
    clients = tuple(_client(name) for name in client or ())
    ends = _until(until) if until else None
    record = Approval(program, facts.name, by or _user(), _now(), note, False, clients, ends, per_day)
    _keep(text, program, place.folder)
    Approvals(place.folder).add(record)
    said = [
        f"{tables.plain(facts.name)}  {program}",
        f"  {tables.approval_text(record)}",
        f"  secrets of {_names(facts.owners)}; learned by {_names(facts.receivers)}",
    ]
    print_result(as_json, "\n".join(said), {"approval": record.fields()})


@app.command()
def revoke(
    which: Which, config: Config = None, folder: Folder = None, note: Note = "", by: By = "", as_json: Json = False
) -> None:
    """Let a program run no more, whatever the policy says. What runs already is let to finish."""
    place = _place(config, folder)
    program = _found(which, place)
    name = next(row.name for row in _rows(place.folder) if row.program == program)
    record = Approval(program, name, by or _user(), _now(), note, True)
    Approvals(place.folder).add(record)
    said = f"{tables.plain(name)}  {program}\n  {tables.approval_text(record)}"
    print_result(as_json, said, {"approval": record.fields()})


def inspect(which: Which, config: Config = None, folder: Folder = None, as_json: Json = False) -> None:
    """Show what a program does, before you approve it: who supplies what, who learns what, what is opened, its cost."""
    from jmpc.approval.facts import costs_of, facts_of, seconds_of

    _, text = _text(which, _place(config, folder) if _is_hash(which) else None)
    with named(which):
        facts, costs = facts_of(text), costs_of(text)
    seconds = seconds_of(costs)
    print_result(as_json, tables.facts_text(facts, costs, seconds), tables.facts_fields(facts, costs, seconds))


def cost(
    which: Which,
    network: Annotated[str, typer.Option(help="`lan`, `wan` or `local`; by default that of the program.")] = "",
    config: Config = None,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Show what a run of a program costs: rounds, bytes, memory, and which operations they are for."""
    from jmpc.approval.facts import costs_of, facts_of, seconds_of

    _, text = _text(which, _place(config, folder) if _is_hash(which) else None)
    with named(which):
        facts, costs = facts_of(text), costs_of(text, network)
    fields = tables.facts_fields(facts, costs, seconds_of(costs))["costs"]
    said = {"program": facts.program, "network": costs.network.name, **fields, "by_op": costs.by_op}
    print_result(as_json, str(costs), said)


# --- where programs are


def _place(config: Path | None, folder: Path | None) -> Place:
    if folder is not None:
        if config is not None:
            raise typer.BadParameter("give one of --config and --folder", param_hint="--folder")
        return Place(_there(folder), folder.parent / POLICY)
    settings = Settings.read(launch.config_path(config or Path(CONFIG)))
    return Place(_there(settings.programs), settings.policy)


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        todo = "give the folder that holds a party's programs, or the party's configuration: --config party.toml"
        raise ConfigError("there is no folder of programs here", where=str(folder), todo=todo)
    return folder


def _rows(folder: Path) -> list[tables.Row]:
    standing = {record.program: record for record in Approvals(folder).records()}
    submitted, runs = list[Submitted](), dict[str, tuple[int, float]]()
    if (folder / LEDGER).exists():
        with closing(Ledger(folder)) as ledger:
            submitted, runs = ledger.submitted(), ledger.runs()
    names = {program: record.name for program, record in standing.items()}
    names.update((entry.program, entry.name) for entry in submitted)
    texts = {path.stem for path in folder.glob(f"*{SUFFIX}")}
    order = dict.fromkeys([*(entry.program for entry in submitted), *standing, *sorted(texts)])
    return [
        tables.Row(
            program,
            names.get(program, "?"),
            standing.get(program),
            tuple(sorted(entry.client for entry in submitted if entry.program == program)),
            runs.get(program, (0, 0.0))[0],
            program in texts,
        )
        for program in order
    ]


# --- which program is meant


def _is_hash(which: str) -> bool:
    return re.fullmatch("[0-9a-f]{1,64}", which) is not None and not Path(which).exists()


def _found(which: str, place: Place) -> str:
    """The hash of a program that the party knows."""
    digits = which if _is_hash(which) else _text(which, None)[0]
    if len(digits) < LEAST_DIGITS:
        raise typer.BadParameter(f"give {LEAST_DIGITS} digits of its hash, or more", param_hint="PROGRAM")
    found = [row.program for row in _rows(place.folder) if row.program.startswith(digits)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} programs begin with these digits" if found else "this party does not know the program"
    todo = "give more digits" if found else "jmpc programs list shows those that it knows"
    raise ConfigError(what, where=which, todo=todo)


def _text(which: str, place: Place | None) -> tuple[str, str]:
    """(hash, text) of a program that the party knows, or of a file."""
    from jmpc.executors.engine import text_hash

    if place is not None and _is_hash(which):
        program = _found(which, place)
        text = _read(place.folder / f"{program}{SUFFIX}")
        if text_hash(text) != program:
            raise _gone(program, place)
        return program, text
    return text_of(which)


def text_of(which: str) -> tuple[str, str]:
    """(hash, text) of a program's file."""
    from jmpc.executors.engine import text_hash

    text = _read(Path(which))
    return text_hash(text), text


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("ascii")
    except OSError as exc:
        raise file_error("the program's text cannot be read", path, exc) from exc
    except UnicodeDecodeError:
        todo = "a client writes it by: Path(...).write_text(f.lower(...).program_text)"
        raise ConfigError("this is no program's text", where=str(path), todo=todo) from None


@contextmanager
def named(which: str) -> Generator[None]:
    """What is wrong with a text says of which."""
    try:
        yield
    except ProgramError as exc:
        raise ProgramError(
            exc.what, where=": ".join(filter(None, (which, exc.where))), why=exc.why, todo=exc.todo
        ) from exc


def _gone(program: str, place: Place) -> ConfigError:
    return ConfigError(
        "the program's text is not here as it was",
        where=str(place.folder / f"{program}{SUFFIX}"),
        why="it was changed, or removed",
        todo="have a client submit it again, or give the file of its text",
    )


def _keep(text: str, program: str, folder: Path) -> None:
    """Beside those that clients submitted."""
    path = folder / f"{program}{SUFFIX}"
    with kept.locked(folder), files_of(path, "the program's text cannot be written"):
        if not path.exists() or path.read_bytes() != text.encode():
            kept.write(path, text.encode())


# --- who and when


def _client(name: str) -> str:
    qualified = name.startswith("client/")
    if why := "clients are named as in programs: hospital-a" if qualified else roles.name_fault(name):
        raise typer.BadParameter(f"{name!r} is no client: {why}", param_hint="--client")
    return name


def _until(text: str) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no date, such as 2027-01-31", param_hint="--until") from None
    return found.replace(tzinfo=found.tzinfo or dt.UTC).astimezone(dt.UTC)


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def _names(names: frozenset[str]) -> str:
    return ", ".join(sorted(map(tables.plain, names))) or "nobody"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
