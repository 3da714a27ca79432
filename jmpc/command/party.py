"""`jmpc party`: make a party, check it, run it, ask how it is.

In: arguments. Out: what was done, printed; of `run`, the party itself. What is done is in `jmpc.service`, which is
imported where it is needed: it takes NumPy.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jmpc.cluster import names
from jmpc.command.printing import JSON_FLAG, count_text, fault_text, print_result
from jmpc.sizes import size_text

if TYPE_CHECKING:
    from jmpc.daemon.checks import Found
    from jmpc.daemon.settings import Settings
    from jmpc.daemon.status import Status

app = typer.Typer(help="Make a party, check it, run it, ask how it is.", rich_markup_mode="markdown")
Config = Annotated[Path, typer.Option("--config", metavar="FILE", help="`party.toml`, or the folder that has it.")]
Json = Annotated[bool, typer.Option(JSON_FLAG, help="Print one JSON object.")]
AllowRoot = Annotated[
    bool, typer.Option("--allow-root", help="As root: where root is nobody outside, as in some containers.")
]
HERE = Path("party.toml")


@app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")],
    cluster: Annotated[Path, typer.Option(metavar="DIR", help="The folder with `cluster.toml`.")],
    name: Annotated[str, typer.Option("--as", help="Whose it is: `party/1`.")],
    identity: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of its key, if not that in the cluster's.")
    ] = None,
    listen: Annotated[str, typer.Option(help="Where it listens, if not at its port of all addresses.")] = "",
    metrics: Annotated[str, typer.Option(help="Where metrics and health are read, for this machine alone.")] = "",
    as_json: Json = False,
) -> None:
    """Make a party's folder: `party.toml`, a storage key, an empty store, a place for programs."""
    from jmpc.daemon import make

    made = make.create(folder, make.Order(cluster, _party(name), identity, listen, metrics))
    addresses = {"listen": names.address_text(made.listen), "metrics": names.address_text(made.metrics)}
    text = [
        f"{made.party} is made in {folder}",
        f"  {'party.toml':12}  its settings: read them, above all the limits",
        f"  {'storage.key':12}  seals what it stores: keep a copy elsewhere, apart from backups of store/",
        f"  {'store/':12}  stored values: none yet",
        f"  {'programs/':12}  programs, and which of them are approved: none yet",
        f"it listens at {addresses['listen']}; metrics and health are at {addresses['metrics']}",
        f"now: jmpc party check --config {folder}; then: jmpc party run --config {folder}",
    ]
    fields = {"folder": str(folder), "party": made.party, "config": str(made.path), "identity": str(made.identity)}
    print_result(as_json, "\n".join(text), {**fields, **addresses})


@app.command()
def prepare(config: Config = HERE, as_json: Json = False) -> None:
    """Make what `party.toml` names and is not there yet: the state's folders, the storage key, an empty store. For
    settings that come from elsewhere; `new` has done it."""
    from jmpc.daemon import launch, make
    from jmpc.daemon.settings import Settings

    settings = Settings.read(launch.config_path(config))
    made = [str(path) for path in make.prepare(settings)]
    text = [f"{settings.party}: {f'{len(made)} made' if made else 'all is there, and stays as it is'}"]
    print_result(as_json, "\n".join([*text, *(f"  {path}" for path in made)]), {"party": settings.party, "made": made})


@app.command()
def check(config: Config = HERE, allow_root: AllowRoot = False, as_json: Json = False) -> None:
    """Find all for which a party would not run, and say what to do. Exits with 1 if a fault is found."""
    found, text = _look(config, allow_root)
    fields = {"faults": [fault.fields() for fault in found.faults]}
    print_result(as_json, text, {"ok": not found.wrong, **fields})
    if found.wrong:
        raise typer.Exit(1)


@app.command()
def run(config: Config = HERE, allow_root: AllowRoot = False, as_json: Json = False) -> None:
    """Run a party, in the foreground, until SIGTERM; a second one stops it at once. SIGHUP: read `cluster.toml` and the
    certificate again. The log is JSON, on standard error."""
    from jmpc.daemon import launch

    found, text = _look(config, allow_root)
    settings = _sound(found, text, as_json)
    launch.become(launch.command(settings, allow_root), launch.environment(settings))


@app.command()
def follow(
    index: Annotated[int, typer.Option(help="Which of its hosts this is: 1, 2, ...; the head, of `run`, is 0.")],
    config: Config = HERE,
    allow_root: AllowRoot = False,
    as_json: Json = False,
) -> None:
    """Run another host of a party that has several (`[hosts]` in `party.toml`), in the foreground, until its head stops
    or is lost. It needs that file, no key and no store. SIGTERM: it waits for its head to stop, for `grace_s`; a second
    one stops it at once. The log is JSON, on standard error."""
    from jmpc.daemon import checks, launch

    path = launch.config_path(config)
    found = checks.look_at_host(path, index, allow_root=allow_root)
    settings = _sound(found, _faults_text(found, path), as_json)
    launch.become(launch.command(settings, allow_root, host=index), launch.environment(settings))


def _sound(found: Found, text: str, as_json: bool) -> Settings:
    """The settings of what may run; else says why not."""
    if found.settings is not None and not found.wrong:
        return found.settings
    if as_json:
        print_result(True, "", {"ok": False, "faults": [fault.fields() for fault in found.faults]})
    else:
        typer.echo(text, err=True)
    raise typer.Exit(1)


@app.command()
def status(config: Config = HERE, as_json: Json = False) -> None:
    """Ask a party of this machine how it is. Exits with 1 if it is not ready."""
    from jmpc.daemon import launch
    from jmpc.daemon.settings import Settings
    from jmpc.daemon.status import ask

    found = ask(Settings.read(launch.config_path(config)))
    print_result(as_json, _status_text(found), {"ok": found.ready, **found.fields()})
    if not found.ready:
        raise typer.Exit(1)


@app.command()
def allow_rebuild(
    party: Annotated[str, typer.Argument(metavar="PARTY", help="The one that lost its disk: `party/1`.")],
    hours: Annotated[float, typer.Option(help="For how long.")] = 2.0,
    config: Config = HERE,
    as_json: Json = False,
) -> None:
    """Let another party be given what it lost. Ask its operator first, by telephone: who has stolen that party's key
    would get its shares."""
    from jmpc.approval.restores import Restores
    from jmpc.daemon import launch
    from jmpc.daemon.settings import Settings

    settings = Settings.read(launch.config_path(config))
    name = _party(party, "PARTY")
    index = names.index_of(name)
    if index is None or name == settings.party:
        raise typer.BadParameter(f"{party!r} is no other party", param_hint="PARTY")
    until = Restores(settings.state).allow(index, dt.timedelta(hours=hours))
    text = f"{settings.party} gives back to {name} what that held, until {until:%Y-%m-%d %H:%M} UTC"
    print_result(as_json, text, {"party": settings.party, "to": name, "until": until.isoformat()})


@app.command()
def rebuild(config: Config = HERE, allow_root: AllowRoot = False, as_json: Json = False) -> None:
    """Take back what this party lost from the two others, which must run and whose operators must have said
    `allow-rebuild`. This party does not run meanwhile. Exits with 1 if something cannot be taken back."""
    found, text = _look(config, allow_root)
    if found.wrong or not (found.settings and found.roster and found.identity and found.key):
        print_result(as_json, text, {"ok": False, "faults": [fault.fields() for fault in found.faults]})
        raise typer.Exit(1)
    from jmpc.service.rebuild import rebuild as take_back
    from jmpc.store import Store

    with Store.open(found.settings.store, found.key, quota=found.settings.quota) as store:
        report = take_back(found.roster, found.identity, store)
    lines = [
        f"{found.settings.party}: {count_text('value', len(report.rebuilt))} taken back, {len(report.sound)} sound"
    ]
    lines += [f"  {name}" for name in report.rebuilt]
    lines += [f"  not taken back: {name}: {why}" for name, why in report.failed.items()]
    fields = {"rebuilt": report.rebuilt, "sound": report.sound, "failed": report.failed}
    print_result(as_json, "\n".join(lines), {"ok": not report.failed, **fields})
    if report.failed:
        raise typer.Exit(1)


def _look(config: Path, allow_root: bool) -> tuple[Found, str]:
    from jmpc.daemon import checks, launch

    path = launch.config_path(config)
    found = checks.look(path, dt.datetime.now(dt.UTC), allow_root=allow_root)
    return found, _faults_text(found, path)


def _faults_text(found: Found, path: Path) -> str:
    warned = len(found.faults) - len(found.wrong)
    counts = ", ".join(
        count_text(word, count) for word, count in (("fault", len(found.wrong)), ("warning", warned)) if count
    )
    who = f"{found.settings.party}" if found.settings else str(path)
    where = f" of {found.roster.name}, revision {found.roster.revision}" if found.roster else ""
    return "\n".join([*map(fault_text, found.faults), f"{who}{where}: {counts or 'nothing is wrong'}"])


def _status_text(found: Status) -> str:
    def number(key: str) -> str:
        value = found.numbers[key]
        return "?" if value is None else size_text(int(value)) if key.endswith("bytes") else f"{value:.0f}"

    peers = ", ".join(f"{peer} {'is' if connected else 'is not'} connected" for peer, connected in found.peers.items())
    said = "ready" if found.ready else f"not ready: {'; '.join(found.why)}"
    return "\n".join(
        [
            f"{found.party} of {found.cluster}: {said}",
            f"  peers: {peers}",
            f"  devices: {found.devices or 'not known yet'}",
            f"  sessions: {number('sessions_running')} running, {number('sessions_waiting')} waiting, "
            f"{number('sessions_finished')} finished, {number('sessions_failed')} failed",
            f"  clients: {number('client_links')} connected",
            f"  stored: {number('stored_values')} values, {number('stored_bytes')} of {number('quota_bytes')}",
            f"  its certificate ends in {number('certificate_ends_days')} days",
        ]
    )


def _party(text: str, hint: str = "--as") -> str:
    try:
        return names.member_name(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no party: {exc}", param_hint=hint) from None
