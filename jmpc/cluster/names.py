"""Names of a cluster's members, and addresses of its parties: what may be one, and how it is written.

A member is `party/0` or `client/hospital-a` wherever a person reads or types it, `jmpc://CLUSTER/party/0` in its
certificate, and `party-0` as a folder. In: texts. Out: the same in another form, or a ValueError that says why not.
"""

from __future__ import annotations

import ipaddress
import re

from jmpc import roles
from jmpc.runtime.identity import CLIENT_NAME, CLUSTER_NAME, MOST_PARTIES

LEAST_PARTIES = 3  # with two that hold replicated shares, each would hold everything
PARTY, CLIENT = "party/", "client/"
Address = tuple[str, int]

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def party_name(index: int) -> str:
    """How the party of an index is called."""
    return f"{PARTY}{index}"


def client_name(name: str) -> str:
    """How a client is called, by the name that it has as an owner or receiver in programs."""
    if not re.fullmatch(CLIENT_NAME, name):
        raise ValueError(
            "a client's name is 1 to 64 letters, digits and `-`, `_`, `.` of ASCII, none of these at an end"
        )
    if why := roles.name_fault(name):
        raise ValueError(why)
    return CLIENT + name


def member_name(text: str) -> str:
    """A member's name that somebody typed: `party/0` or `client/hospital-a`."""
    if text.startswith(CLIENT):
        return client_name(text.removeprefix(CLIENT))
    index = text.removeprefix(PARTY)
    if index != text and re.fullmatch("0|[1-9][0-9]?", index) and int(index) < MOST_PARTIES:
        return text
    raise ValueError("a member is named as `party/0` or `client/hospital-a`")


def cluster_name(text: str) -> str:
    """A cluster's name: it stands in every URI."""
    if not re.fullmatch(CLUSTER_NAME, text):
        raise ValueError("a cluster's name is 1 to 40 small letters, digits and `-` of ASCII, with no `-` at an end")
    return text


def uri(cluster: str, name: str) -> str:
    """The URI in the certificate of a member."""
    return f"jmpc://{cluster}/{name}"


def folder_of(name: str) -> str:
    """The folder that holds a member's key."""
    return name.replace("/", "-", 1)


def index_of(name: str) -> int | None:
    """The index of a party; None for a client."""
    return int(name.removeprefix(PARTY)) if name.startswith(PARTY) else None


def address(text: str) -> Address:
    """`host:port`, with the host in brackets where it has colons: `[::1]:7001`."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("an address is `host:port`")
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return _host(host), int(port)


def address_text(address: Address) -> str:
    """An address as it is written."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _host(text: str) -> str:
    if text.startswith("[") and text.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError("what stands in brackets is no IPv6 address") from None
    if ":" in text:
        raise ValueError("an IPv6 address stands in brackets: `[::1]:7001`")
    if not text.isascii():
        raise ValueError("a host's name is of ASCII: write its `xn--` form")
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("that is no name of a host")
    if labels[-1].isdecimal():
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ValueError("a host whose name ends in a number is an IPv4 address, and that is none") from None
    return text.lower()
