"""`jmpc cluster`: make a cluster, hand out identities, rotate, revoke, look at it, check it.

In: arguments. Out: what was done, printed. What is done is in `jmpc.cluster`; this file decides nothing.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from jmpc.cluster import Roster, change, doctor, files, make, names, request, roster
from jmpc.cluster.authority import DAYS
from jmpc.cluster.change import Signing
from jmpc.cluster.faults import refuse
from jmpc.command.passphrases import OPTION, new_passphrase, passphrase
from jmpc.command.printing import JSON_FLAG, hash_line, headline, print_result, report_text, roster_fields, roster_text
from jmpc.errors import ConfigError

app = typer.Typer(
    help="Make a cluster, hand out identities, rotate, revoke, check.",
    no_args_is_help=False,
    rich_markup_mode="markdown",
)
NewFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet, or is empty.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The cluster's folder, with `cluster.toml`.")]
Member = Annotated[str, typer.Argument(metavar="IDENTITY", help="`party/0` or `client/hospital-a`.")]
Json = Annotated[bool, typer.Option(JSON_FLAG, help="Print one JSON object.")]
Days = Annotated[int, typer.Option("--days", help="For how long the certificate is valid.")]
PassphraseFile = Annotated[
    Path | None, typer.Option(OPTION, help="A file with the passphrase of the authority's key, of mode 0600.")
]
HERE = Path(".")


@app.callback(invoke_without_command=True)
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def new(
    folder: NewFolder,
    hosts: Annotated[str, typer.Option(help="Where each party listens: `a:7001,b:7001,c:7001`, or `[::1]:7001`.")],
    clients: Annotated[str, typer.Option(help="Names of clients, with commas between.")] = "",
    name: Annotated[str, typer.Option(help="The cluster's name; that of the folder, if not given.")] = "",
    days: Annotated[int, typer.Option(help="For how long certificates are valid.")] = DAYS,
    keys: Annotated[bool, typer.Option("--keys/--no-keys", help="Make all keys here, or each at its member.")] = True,
    authority_certificate: Annotated[
        Path | None, typer.Option(help="The certificate of an authority of yours, which signs instead of a new one.")
    ] = None,
    ask_passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for one to seal the authority's key.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a cluster: `cluster.toml`, and a folder for each party and client with its key and certificate."""
    order = make.Order(
        _list(hosts),
        _list(clients),
        name,
        days,
        keys,
        _public(authority_certificate).decode("utf-8", "replace") if authority_certificate else "",
        None if authority_certificate else new_passphrase(passphrase_file, ask_passphrase),
    )
    made = make.create(folder, order, _now())
    _changed(made, folder, as_json, [f"made in {folder}", *_what_is_there(made, folder, order)])


@app.command()
def add_client(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name as an owner or receiver in programs.")],
    folder: Folder = HERE,
    days: Days = DAYS,
    key: Annotated[bool, typer.Option("--key/--no-key", help="Make its key here, or at the client.")] = True,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Add a client."""
    made = change.add_client(folder, name, _signing(passphrase_file, days), with_key_here=key)
    full = names.client_name(name.removeprefix(names.CLIENT))
    own = f"its key is in {folder / names.folder_of(full)}" if key else f"it makes its key: keygen DIR --as {full}"
    _changed(made, folder, as_json, [f"{full} is new; {own}", _everybody(folder)], member=full)


@app.command()
def keygen(
    folder: Folder,
    name: Annotated[str, typer.Option("--as", help="Whose key this is: `party/1`.")],
    renew: Annotated[bool, typer.Option(help="Make a new key beside the one in use.")] = False,
    same_key: Annotated[bool, typer.Option(help="Ask for a new certificate of the key in use.")] = False,
    as_json: Json = False,
) -> None:
    """Make a key where it belongs, and a request to sign it. DIR holds a copy of `cluster.toml`."""
    path, key = request.keygen(folder, _member(name, "--as"), renew=renew, same_key=same_key)
    text = [
        f"{path} asks for a certificate of {name}",
        f"its key: {key}",
        "send the request to who signs for the cluster, and tell them this fingerprint over the telephone",
    ]
    print_result(as_json, "\n".join(text), {"member": name, "request": str(path), "key": key})


@app.command()
def sign(
    request_file: Annotated[Path, typer.Argument(metavar="REQUEST", help="What `keygen` made.")],
    folder: Annotated[Path, typer.Option("--authority", metavar="DIR", help="The folder with the authority's key.")],
    expect: Annotated[str, typer.Option(metavar="FINGERPRINT", help="Refuse any other key.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="The member had another key, which counts no more.")
    ] = False,
    days: Days = DAYS,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Sign a request, if it asks for what the cluster's file says and nothing else."""
    made, name, path = change.sign(
        folder,
        _public(request_file),
        _signing(passphrase_file, days),
        where=str(request_file),
        replaces=replace,
        expected=expect,
    )
    key = made.member(name).key
    text = [f"{path} is the certificate of {name}", f"for the key {key}", f"send it to {name}", _everybody(folder)]
    _changed(made, folder, as_json, text, member=name, key=key, certificate=str(path))


@app.command()
def accept(
    certificate: Annotated[Path, typer.Argument(metavar="CERTIFICATE", help="What came back for a request.")],
    folder: Folder = HERE,
    record: Annotated[
        bool, typer.Option("--record", help="Put its key into `cluster.toml`: where another authority signs.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="With `--record`: in place of another key.")] = False,
    as_json: Json = False,
) -> None:
    """Take a certificate in, beside the key that it is for."""
    made, name = change.accept(
        folder, _public(certificate), _now(), where=str(certificate), record=record, replaces=replace
    )
    text = [f"the certificate of {name} is right, and taken in", *([_everybody(folder)] if record else [])]
    _changed(made, folder, as_json, text, member=name)


@app.command()
def rotate(
    name: Member,
    folder: Folder = HERE,
    same_key: Annotated[bool, typer.Option("--same-key", help="A new certificate of the same key.")] = False,
    days: Days = DAYS,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Make a new key and certificate of a member; the old one counts no more."""
    made = change.rotate(folder, _member(name), _signing(passphrase_file, days), same_key=same_key)
    own, what = folder / names.folder_of(name), "certificate" if same_key else "key and certificate"
    text = [f"{name} has a new {what} in {own}; the old one counts no more", f"give {own} to {name} alone"]
    _changed(made, folder, as_json, [*text, _everybody(folder)], member=name, key=made.member(name).key)


@app.command()
def revoke(name: Member, folder: Folder = HERE, as_json: Json = False) -> None:
    """Revoke the key of a member: it counts no more, with no other in its place."""
    made = change.revoke(folder, _member(name), _now())
    text = [f"the key of {name} counts no more wherever this cluster.toml is", _everybody(folder)]
    _changed(made, folder, as_json, text, member=name)


@app.command()
def update(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A newer `cluster.toml`.")],
    folder: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Put a newer `cluster.toml` in place of the one in DIR, if it is one of the same cluster."""
    old, made = change.update(folder, Roster.read(file), str(file))
    _changed(made, folder, as_json, [f"it was revision {old.revision}", *change.differences(old, made)])


@app.command()
def show(folder: Folder = HERE, as_json: Json = False) -> None:
    """Show who is in a cluster."""
    made = Roster.read(folder / roster.FILE)
    print_result(as_json, roster_text(made), roster_fields(made))


@app.command()
def check(
    folder: Folder = HERE,
    name: Annotated[str | None, typer.Option("--as", help="Whose folder must be here: `party/1`.")] = None,
    resolve: Annotated[bool, typer.Option("--resolve/--no-resolve", help="Look up the parties' hosts.")] = True,
    as_json: Json = False,
) -> None:
    """Find what is wrong with a cluster's folder, and say what to do. Exits with 1 if a fault is found."""
    known = _member(name, "--as") if name else None
    report = doctor.check(folder, name=known, now=_now(), resolve=doctor.look_up if resolve else None)
    fields = {"faults": [fault.fields() for fault in report.faults], "members": list(report.members)}
    print_result(as_json, report_text(report, str(folder)), {"ok": report.sound, **fields})
    if not report.sound:
        raise typer.Exit(1)


def _changed(made: Roster, folder: Path, as_json: bool, text: list[str], **fields: str) -> None:
    about = {"folder": str(folder), **fields, **roster_fields(made)}
    print_result(as_json, "\n".join([headline(made), *(f"  {line}" for line in text), hash_line(made)]), about)


def _what_is_there(made: Roster, folder: Path, order: make.Order) -> list[str]:
    if order.authority_certificate or not order.with_keys:
        after = "run accept --record on each certificate" if order.authority_certificate else "sign"
        todo = f"no member has a key yet: each runs keygen with a copy of cluster.toml, you then {after}"
        kept = [] if order.authority_certificate else [_authority(order)]
        return ["cluster.toml  for everybody, the same file: there is no secret in it", *kept, todo]
    wide = max(len(names.folder_of(member.name)) for member in made.members)
    rows = [
        f"{names.folder_of(member.name):{wide}}  for {member.name} alone: its key and certificate"
        for member in made.members
    ]
    until = f"{_now() + dt.timedelta(days=order.days):%Y-%m-%d}"
    return [
        f"{'cluster.toml':{wide}}  for everybody, the same file: there is no secret in it",
        *rows,
        _authority(order, wide),
        f"certificates are valid until {until}",
    ]


def _authority(order: make.Order, wide: int = 12) -> str:
    how = "sealed with the passphrase" if order.passphrase else "in the clear: --passphrase seals it"
    return f"{'authority':{wide}}  for who runs the cluster alone: the key that signs, {how}"


def _everybody(folder: Path) -> str:
    return f"give {folder / roster.FILE} to all parties and clients; each runs `jmpc cluster update FILE DIR`"


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text.strip() else []


def _member(text: str, where: str = "IDENTITY") -> str:
    try:
        return names.member_name(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no member of a cluster: {exc}", param_hint=where) from None


def _public(path: Path) -> bytes:
    content, faults = files.read(path)
    refuse(faults)
    if b"PRIVATE KEY" in content:
        raise ConfigError(
            "this file holds a private key",
            where=str(path),
            why="what is sent to others is a request or a certificate",
            todo="send request.pem; if the key was sent to anybody, make a new one: jmpc cluster keygen --renew",
        )
    return content


def _signing(file: Path | None, days: int) -> Signing:
    return Signing(passphrase(file), _now(), days)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
