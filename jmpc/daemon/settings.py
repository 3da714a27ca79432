"""What the operator of a party sets: `party.toml`, key by key.

In: a text or a path. Out: Settings, or all that is wrong with the file at once, each fault with its key and line; and
the text of a new file. Whether the files and folders that it names are sound is asked in checks.py. Paths are
relative to the folder of the file. Who is in the cluster and where its parties are is not said here: that is
`cluster.toml`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from jmpc.cluster import files, names
from jmpc.cluster.document import ALL, Document, Table
from jmpc.cluster.faults import Fault, refuse
from jmpc.cluster.names import Address
from jmpc.errors import ConfigError
from jmpc.executors.host_order import HEAD, HostOrder, check_address
from jmpc.runtime import spawn
from jmpc.service.limits import Limits
from jmpc.sizes import size_of, size_text

T = TypeVar("T")
FORMAT = 1
FILE = "party.toml"
LEVELS = ("debug", "info", "warning", "error")
METRICS: Address = ("127.0.0.1", 9464)
QUOTA = 64 << 30
CLIENT_QUOTA = QUOTA // 2
GRACE_S = 60.0
LEVEL = "info"
DEVICES = 1
ANY = "any"
PLATFORMS = (ANY, "cpu", "gpu", "tpu")  # those of `executors/placement.py`, which takes JAX
# A party takes nothing from the environment that it is started in; these come from the file, and no others.
VARIABLES = tuple(
    name
    for name in spawn.VARIABLES
    if name not in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "JMPC_CACHE_DIR", "LANG", "LC_ALL", "LC_CTYPE")
)
_MOST_BYTES = 1 << 52
_LEAST_S, _DAY_S = 0.1, 86400.0
_LEAST_HOSTS, _MOST_HOSTS = 2, 1024
_TODO = "correct it, then look again: jmpc party check"
_NOWHERE: Address = ("", 0)


@dataclass(frozen=True, slots=True)
class Settings:
    """What `party.toml` says, with all paths absolute.

    path: of the file.  cluster: the folder with `cluster.toml`.  identity: that with the key and certificate.  state:
    that of stored values and compiled code.  programs: that of programs and their approvals.  quota: bytes of stored
    values.  client_quota: of those of one client.  client_quotas: of those of some clients, by name.  grace_s: how long
    sessions may go on once it is told to stop.  start_programs: whether its process may start others, as XLA does on
    some devices to compile.  environment: variables of its process.  policy_named: the file names one, which must be
    there.  devices: how many of this machine it computes on, None for all; of each of its machines, where it has
    several.  platform: of which kind.  hosts: where these meet, None where it has one.
    """

    path: Path
    party: str
    cluster: Path
    identity: Path
    storage_key: Path
    state: Path
    programs: Path
    policy: Path
    policy_named: bool
    listen: Address
    metrics: Address = METRICS
    grace_s: float = GRACE_S
    log_level: str = LEVEL
    devices: int | None = DEVICES
    platform: str = ANY
    hosts: HostOrder | None = None
    limits: Limits = field(default_factory=Limits)
    quota: int = QUOTA
    client_quota: int = CLIENT_QUOTA
    client_quotas: Mapping[str, int] = field(default_factory=dict[str, int])
    start_programs: bool = False
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def read(cls, path: str | Path) -> Settings:
        """Of a file. What is wrong with it is a ConfigError."""
        settings, faults = load(Path(path))
        refuse(faults)
        assert settings is not None
        return settings

    @property
    def index(self) -> int:
        """Of the party."""
        index = names.index_of(self.party)
        assert index is not None
        return index

    def client_quota_of(self, client: str) -> int:
        """Bytes of the stored values of a client."""
        return self.client_quotas.get(client, self.client_quota)

    @property
    def store(self) -> Path:
        """Where stored values are."""
        return self.state / "store"

    @property
    def cache(self) -> Path:
        """Where compiled code is."""
        return self.state / "cache"


def load(path: Path) -> tuple[Settings | None, list[Fault]]:
    """The settings of a file, or None, and what is wrong with the file."""
    path = Path(os.path.abspath(path))
    content, faults = files.read(path)
    if faults:
        return None, faults
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        return None, [Fault("not-toml", "the file is not TOML", str(path), f"byte {exc.start} is no UTF-8", _TODO)]
    return read_settings(text, path)


def read_settings(text: str, path: Path) -> tuple[Settings | None, list[Fault]]:
    """The settings that a text holds, or None, and what is wrong. path: where it stands."""
    document = Document(text, str(path), _TODO)
    if document.faults or _newer(document.top):
        return None, document.faults
    read = _read(document.top, path)
    document.top.done()
    if read.metrics == read.listen and not document.faults:
        why = "each listens by itself"
        document.fault("same-address", "metrics", "clients and metrics have one address", why, "give another port")
    return (None if document.faults else read), document.faults


def _newer(top: Table) -> bool:
    found = top.count("format")
    if found > FORMAT:
        why = f"it has format {found}, and this jmpc knows {FORMAT}"
        top.fault("newer-format", "format", "the file is of a newer jmpc", why, "run the newest jmpc")
    return found > FORMAT


def _read(top: Table, path: Path) -> Settings:
    def place(text: str) -> Path:
        return _path(path.parent, text)

    def inside(key: str, usual: str) -> Path:
        return _or(top, key, lambda key: top.text(key, place, path.parent), path.parent / usual)

    party = top.text("party", _party, "")
    cluster = top.text("cluster", place, path.parent)
    own = cluster / (names.folder_of(party) if party else "party")
    limits, *quotas = _limits(top.table("limits")) if top.has("limits") else (Limits(), QUOTA, CLIENT_QUOTA)
    return Settings(
        path=path,
        party=party,
        cluster=cluster,
        identity=_or(top, "identity", lambda key: top.text(key, place, own), own),
        storage_key=inside("storage_key", "storage.key"),
        state=inside("state", ""),
        programs=inside("programs", "programs"),
        policy_named=top.has("policy"),
        policy=inside("policy", "policy.toml"),
        listen=top.text("listen", names.address, _NOWHERE, "bad-address"),
        metrics=_or(top, "metrics", lambda key: top.text(key, names.address, _NOWHERE, "bad-address"), METRICS),
        grace_s=_or(top, "grace_s", lambda key: top.number(key, 0, _DAY_S), GRACE_S),
        log_level=_or(top, "log_level", lambda key: top.text(key, _level, LEVEL), LEVEL),
        devices=_or(top, "devices", top.count_or_all, DEVICES),
        platform=_or(top, "platform", lambda key: top.text(key, _platform, ANY), ANY),
        hosts=_hosts(top.table("hosts")) if top.has("hosts") else None,
        limits=limits,
        quota=quotas[0],
        client_quota=quotas[1],
        client_quotas=_quotas(top.table("client_quotas")) if top.has("client_quotas") else {},
        start_programs=_or(top, "start_programs", top.flag, False),
        environment=_environment(top.table("environment")) if top.has("environment") else {},
    )


def _or(table: Table, key: str, read: Callable[[str], T], other: T) -> T:
    """A key that may be left out."""
    return read(key) if table.has(key) else other


def _limits(table: Table) -> tuple[Limits, int, int]:
    """The limits of a service, the quota of its store, and that of one client: half, which leaves as much to others."""
    usual = Limits()

    def count(key: str, other: int) -> int:
        return _or(table, key, table.count, other)

    def size(key: str, other: int) -> int:
        return _or(table, key, lambda key: table.text(key, _bytes, other), other)

    def seconds(key: str, other: float) -> float:
        return _or(table, key, lambda key: table.number(key, _LEAST_S, _DAY_S), other)

    read = Limits(
        sessions=count("sessions", usual.sessions),
        memory=size("memory", usual.memory),
        held=size("held", usual.held),
        waiting=count("waiting", usual.waiting),
        waiting_s=seconds("waiting_s", usual.waiting_s),
        links=count("links", usual.links),
        text=size("text", usual.text),
        uploads=count("uploads", usual.uploads),
        upload_s=seconds("upload_s", usual.upload_s),
        handshake_s=seconds("handshake_s", usual.handshake_s),
        idle_s=seconds("idle_s", usual.idle_s),
    )
    quota = size("quota", QUOTA)
    client_quota = size("client_quota", max(1, quota // 2))
    table.done()
    return read, quota, client_quota


def _quotas(table: Table) -> dict[str, int]:
    """By client."""
    found = {name: table.text(name, _bytes, 1) for name in table.keys}
    for name in found:
        try:
            names.client_name(name)
        except ValueError as exc:
            table.fault("bad-value", "", f"{name[:64]!r} is no client's name", str(exc), _TODO)
    return found


def _hosts(table: Table) -> HostOrder:
    """As the head has it."""
    usual = HostOrder("", _LEAST_HOSTS, HEAD)

    def seconds(key: str, other: float) -> float:
        return _or(table, key, lambda key: table.number(key, _LEAST_S, _DAY_S), other)

    def place(text: str) -> str:
        try:
            check_address(text, public)
        except ConfigError as exc:
            raise ValueError(f"{exc.what}: {exc.why}; {'; '.join(exc.todo)}") from None
        return text

    public = _or(table, "public", table.flag, usual.public)
    count = table.count("count")
    if not _LEAST_HOSTS <= count <= _MOST_HOSTS and "count" in table.keys:
        why = f"with this one it goes from {_LEAST_HOSTS} to {_MOST_HOSTS}"
        table.fault("bad-count", "count", "that is not several hosts", why, "for a party on one host, take [hosts] out")
    read = HostOrder(
        address=table.text("address", place, "", "bad-address"),
        count=count,
        index=HEAD,
        deadline_s=seconds("deadline_s", usual.deadline_s),
        patience_s=seconds("patience_s", usual.patience_s),
        launch_s=seconds("launch_s", usual.launch_s),
        public=public,
    )
    table.done()
    return read


def _environment(table: Table) -> dict[str, str]:
    """Values are in no message: one that stands here by mistake may be a secret."""
    found: dict[str, str] = {}
    for name in table.keys:
        if name in VARIABLES:
            found[name] = table.text(name, _value, "")
    table.done(VARIABLES)
    return found


def _path(folder: Path, text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("it is a path, relative to the folder of this file")
    if text.startswith("~"):
        raise ValueError("`~` means nobody's folder to a service: write the whole path")
    return Path(os.path.normpath(folder / text))


def _party(text: str) -> str:
    if names.index_of(names.member_name(text)) is None:
        raise ValueError("a party is named as `party/0`")
    return text


def _level(text: str) -> str:
    if text not in LEVELS:
        raise ValueError(f"it is one of {', '.join(LEVELS)}")
    return text


def _platform(text: str) -> str:
    if text not in PLATFORMS:
        raise ValueError(f"it is one of {', '.join(PLATFORMS)}")
    return text


def _value(text: str) -> str:
    if "\0" in text:
        raise ValueError("no variable can hold that")
    return text


def _bytes(text: str) -> int:
    size = size_of(text)
    if not 1 <= size <= _MOST_BYTES:
        raise ValueError(f"it goes from 1 B to {size_text(_MOST_BYTES)}")
    return size


_TEXT = """\
# A party of a jmpc cluster. Paths are relative to the folder of this file. `jmpc party check` finds what is wrong here.
format = {format}
party = {party}
cluster = {cluster}  # the folder with cluster.toml
identity = {identity}  # the folder with key.pem and certificate.pem
storage_key = "storage.key"
state = "."  # stored values and compiled code: store/, cache/
programs = "programs"  # what clients submitted, and what is approved
listen = {listen}  # cluster.toml says at which address others find it
metrics = {metrics}  # Prometheus, health and readiness, unencrypted: for this machine alone
grace_s = {grace_s:g}  # how long sessions may go on after SIGTERM
log_level = "{log_level}"
start_programs = {start_programs}  # a party needs none, but where XLA for its device calls an assembler (GPU)
devices = {devices}  # that it computes on: so many, or "all"; on several, arrays lie in parts
platform = "{platform}"  # of these devices: cpu, gpu, tpu, or any, which is what JAX prefers

[limits]
sessions = {sessions}  # that run at once
memory = "{memory}"  # of all that run
held = "{held}"  # inputs of calls that wait or run
waiting = {waiting}  # calls that wait, of all clients
waiting_s = {waiting_s:g}  # how long a call waits for its other clients, or for its turn
links = {links}  # of one client
text = "{text}"  # of a program
uploads = {uploads}  # values of one client that are being sent
upload_s = {upload_s:g}  # how long one waits for its client to come back
handshake_s = {handshake_s:g}  # for a connection to prove who it is
idle_s = {idle_s:g}  # for a client that says nothing
quota = "{quota}"  # of stored values
client_quota = "{client_quota}"  # of those of one client

# Of some clients, another one than limits.client_quota: hospital-a = "48 GiB".
[client_quotas]
{client_quotas}
# Variables of its process, such as XLA_FLAGS. It takes none from the environment in which it is started.
[environment]
"""


def text_of(settings: Settings) -> str:
    """The file of settings of one host whose state lies beside it, with the usual environment."""
    limits = {**dataclasses.asdict(settings.limits), "quota": settings.quota, "client_quota": settings.client_quota}
    limits |= {key: size_text(limits[key]) for key in ("memory", "held", "text", "quota", "client_quota")}
    quotas = [f"{_quoted(name)} = {_quoted(size_text(size))}\n" for name, size in settings.client_quotas.items()]
    return _TEXT.format(
        format=FORMAT,
        party=_quoted(settings.party),
        cluster=_quoted(os.path.relpath(settings.cluster, settings.path.parent)),
        identity=_quoted(os.path.relpath(settings.identity, settings.path.parent)),
        listen=_quoted(names.address_text(settings.listen)),
        metrics=_quoted(names.address_text(settings.metrics)),
        grace_s=settings.grace_s,
        log_level=settings.log_level,
        start_programs="true" if settings.start_programs else "false",
        devices=_quoted(ALL) if settings.devices is None else settings.devices,
        platform=settings.platform,
        client_quotas="".join(quotas),
        **limits,
    )


def _quoted(text: str) -> str:
    """A text as TOML has it."""
    escaped = "".join(f"\\U{ord(char):08x}" if char in '"\\' or not char.isprintable() else char for char in text)
    return f'"{escaped}"'
