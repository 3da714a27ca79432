"""How a party is, asked of itself over HTTP (health.py), for the command line.

In: its settings. Out: a Status, or an error where nobody answers. What comes back is a party's, and read as a
stranger's: so many bytes and no more, of the form that is expected.
"""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families

from jmpc.cluster.names import Address, address_text
from jmpc.daemon.settings import Settings
from jmpc.errors import PeerError

_PATIENCE_S = 5.0
_MOST_BYTES = 1 << 20
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where to ask a party that listens everywhere
_NUMBERS = {
    "sessions_running": "jmpc_sessions_running",
    "sessions_waiting": "jmpc_sessions_waiting",
    "sessions_finished": 'jmpc_sessions_total{result="finished"}',
    "sessions_failed": 'jmpc_sessions_total{result="failed"}',
    "client_links": "jmpc_client_links",
    "stored_values": "jmpc_stored_values",
    "stored_bytes": "jmpc_stored_bytes",
    "quota_bytes": "jmpc_quota_bytes",
    "certificate_ends_days": "jmpc_certificate_ends_days",
}


@dataclass(frozen=True, slots=True)
class Status:
    """What a party says of itself. numbers: by the names above; None where it has none now."""

    party: str
    cluster: str
    ready: bool
    why: tuple[str, ...]
    peers: Mapping[str, bool]
    devices: str
    numbers: Mapping[str, float | int | None]

    def fields(self) -> dict[str, Any]:
        """As `--json` says it."""
        said = asdict(self)
        numbers = said.pop("numbers")
        return {**said, **numbers}


def ask(settings: Settings) -> Status:
    """Ask the party of these settings. Raises PeerError."""
    address = (_HERE.get(settings.metrics[0], settings.metrics[0]), settings.metrics[1])
    readiness, numbers = _get(settings, address, "/readyz"), _get(settings, address, "/metrics")
    try:
        said = cast("dict[str, Any]", json.loads(readiness))
        peers = {str(peer): bool(connected) for peer, connected in said["peers"].items()}
        why = tuple(str(reason) for reason in said["why"])
        status = Status(
            str(said["party"]), str(said["cluster"]), bool(said["ready"]), why, peers, str(said["devices"]),
            _numbers(numbers),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _silent(settings, address, "what it answers is not what a party says") from exc
    if status.party != settings.party:
        raise _silent(settings, address, f"{status.party} answers there")
    return status


def _numbers(text: str) -> dict[str, float | int | None]:
    found: dict[str, float] = {}
    for metric in text_string_to_metric_families(text):
        for sample in metric.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return {name: _known(found.get(series)) for name, series in _NUMBERS.items()}


def _known(value: float | None) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else round(value, 3)


def _get(settings: Settings, address: Address, path: str) -> str:
    connection = http.client.HTTPConnection(*address, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path)
        content = connection.getresponse().read(_MOST_BYTES)
    except ConnectionRefusedError as exc:
        raise _silent(settings, address, "nobody listens there") from exc
    except (OSError, http.client.HTTPException) as exc:
        raise _silent(settings, address, type(exc).__name__) from exc
    finally:
        connection.close()
    return content.decode("utf-8", "replace")


def _silent(settings: Settings, address: Address, why: str) -> PeerError:
    where = f"http://{address_text(address)}, by {settings.path} (metrics)"
    todo = f"is it running? jmpc party run --config {settings.path}"
    return PeerError(f"{settings.party} does not answer", where=where, why=why, todo=todo)
