"""Rosters go through text and back, mean the same however they are written, and are never misread in silence."""

from __future__ import annotations

import datetime as dt
import functools
import re
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from jmpc.cluster import Deadlines, Member, Revoked, Roster, names
from jmpc.errors import ConfigError

from .planted import new_cluster


@functools.cache
def good() -> Roster:
    with tempfile.TemporaryDirectory() as folder:
        return new_cluster(Path(folder) / "study")


SIGNS = "abcxyz019"
LABEL = st.tuples(st.text(SIGNS, min_size=1, max_size=4), st.text(SIGNS + "-", max_size=3)).map(
    lambda two: f"{two[0]}{two[1]}0"
)
HOSTS = st.one_of(
    LABEL.map(lambda label: f"{label}.example"),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
PORTS = st.integers(1, 65535)
CLIENTS = st.text(SIGNS + "ABXY._-", max_size=6).map(lambda middle: f"A{middle}9")
MOMENTS = st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(9990, 1, 1), timezones=st.just(dt.UTC))


def fingerprint(number: int) -> str:
    return f"sha256:{number:064x}"


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    ports = draw(st.lists(PORTS, min_size=3, max_size=5, unique=True))
    addresses = [names.address(f"{draw(HOSTS)}:{port}") for port in ports]
    clients = sorted(draw(st.lists(CLIENTS.map(names.client_name), max_size=3, unique_by=str.lower)))
    held = [draw(st.sampled_from(["", fingerprint(number)])) for number in range(len(addresses) + len(clients))]
    made, changed = sorted([draw(MOMENTS), draw(MOMENTS)])
    serial = f"{draw(st.integers(1, 2**159)):x}"
    revoked = [Revoked("party/0", fingerprint(99), "", changed), Revoked("party/1", "", serial, made)]
    return Roster(
        name=draw(LABEL),
        id=draw(st.binary(min_size=16, max_size=16)).hex(),
        revision=draw(st.integers(1, 10**9)),
        made=made,
        changed=changed,
        deadlines=Deadlines(draw(st.floats(0.001, 86400)), draw(st.floats(0.001, 86400))),
        authority=good().authority,
        parties=tuple(Member(names.party_name(i), held[i], place) for i, place in enumerate(addresses)),
        clients=tuple(Member(name, held[len(addresses) + i]) for i, name in enumerate(clients)),
        revoked=tuple(sorted(revoked[: draw(st.integers(0, 2))])),
    )


@given(rosters())
def test_a_roster_goes_through_text_and_back(roster: Roster) -> None:
    again = Roster.of(roster.text)
    assert again == roster
    assert again.hash == roster.hash
    assert again.text == roster.text


@given(rosters(), rosters())
def test_two_rosters_have_one_hash_only_if_they_are_equal(one: Roster, other: Roster) -> None:
    assert (one.hash == other.hash) == (one == other)


def test_the_hash_is_of_what_the_file_says(study: Path) -> None:
    roster, text = Roster.read(study / "cluster.toml"), (study / "cluster.toml").read_text()
    party = re.compile(r"\[\[party\]\].*?(?=\n\[\[)", re.DOTALL)
    blocks = party.findall(text)
    turned = iter(blocks[1:] + blocks[:1])
    for other in (
        text.replace("\n", "\r\n"),
        "\ufeff" + text,
        "# a remark\n" + text,
        text.replace("round_s = 60.0", "round_s = 60"),
        text.replace("localhost:7001", "LocalHost:7001"),
        text.replace("08:00:00Z", "10:00:00+02:00"),
        party.sub(lambda _: next(turned), text),
    ):
        assert other != text
        (study / "cluster.toml").write_bytes(other.encode())
        assert Roster.read(study / "cluster.toml").hash == roster.hash
    assert Roster.of(text.replace("localhost:7001", "localhost:7009")).hash != roster.hash


def meaning(data: dict[str, Any]) -> dict[str, Any]:
    """What a text says, of all its keys, in one form."""
    data = {**data, "client": data.get("client", []), "revoked": data.get("revoked", [])}
    for kind in ("party", "client"):
        data[kind] = sorted(data[kind], key=lambda row: row["name"])
        data[kind] = [
            {**row, **({"address": names.address(row["address"])} if kind == "party" else {})} for row in data[kind]
        ]
    data["revoked"] = sorted(data["revoked"], key=lambda row: (row["name"], row["key"], row["serial"], row["on"]))
    pem = data["authority"]["certificate"].encode()
    data["authority"] = {**data["authority"], "certificate": x509.load_pem_x509_certificate(pem)}
    return data


WORDS = st.sampled_from(
    [
        "1",
        "-1",
        "1e400",
        "nan",
        "true",
        '""',
        "[]",
        "{}",
        "[[party]]",
        "[[client]]",
        "[party]",
        "[x]",
        "x = 1",
        "name = 1",
    ]
    + ['key = ""', '"', '"""', "=", "#", "\\u0000", "\ud7ff", "[" * 40, "2026-01-01", "2026-01-01T00:00:00", "9" * 5000]
)


@st.composite
def edited(draw: st.DrawFn) -> str:
    """The text of a good cluster, changed by hand at up to three places."""
    lines = good().text.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at, kind = (
            draw(st.integers(0, len(lines) - 1)),
            draw(st.sampled_from(["drop", "twice", "swap", "word", "value", "char"])),
        )
        if kind == "drop":
            del lines[at]
        elif kind == "twice":
            lines.insert(draw(st.integers(0, len(lines))), lines[at])
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "word":
            lines.insert(at, draw(WORDS))
        elif kind == "value" and " = " in lines[at]:
            lines[at] = f"{lines[at].split(' = ')[0]} = {draw(WORDS)}"
        elif lines[at]:
            place = draw(st.integers(0, len(lines[at]) - 1))
            lines[at] = lines[at][:place] + draw(st.characters(codec="utf-8")) + lines[at][place + 1 :]
    return "\n".join(lines)


@given(edited())
def test_a_changed_text_is_refused_by_line_or_key_or_means_all_that_it_says(text: str) -> None:
    try:
        roster = Roster.of(text)
    except ConfigError as exc:
        assert re.match(r"cluster\.toml(:\d+| \([^)]+\)|$)", exc.where)  # noqa: PT017
        assert exc.what  # noqa: PT017
        return
    assert meaning(tomllib.loads(text)) == meaning(tomllib.loads(roster.text))


def test_a_fault_has_its_line_and_key() -> None:
    text = good().text.replace("localhost:7002", "localhost:0")
    line = text[: text.index("localhost:0")].count("\n") + 1
    with pytest.raises(ConfigError) as caught:
        Roster.of(text, "here.toml")
    assert caught.value.where == f"here.toml:{line} (party[1].address)"


@pytest.mark.parametrize(
    "text", ["\x00", "[" * 100_000, "a = " + "[" * 5000, "x" * (1 << 20), "a = 1_" + "0" * 9000, "[[party]]\n" * 50_000]
)
def test_odd_texts_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Roster.of(text)


def test_a_stranger_is_not_named(study: Path) -> None:
    roster = Roster.read(study / "cluster.toml")
    assert roster.named("jmpc://study/party/0") == "party/0"
    assert roster.named("jmpc://study/party/3") is None
    assert roster.named("jmpc://other/party/0") is None
    with pytest.raises(ConfigError, match="client/nobody is not in the cluster study"):
        roster.member("client/nobody")


@given(HOSTS, PORTS)
def test_an_address_is_read_as_it_is_written(host: str, port: int) -> None:
    address = names.address(f"{host}:{port}")
    assert names.address(names.address_text(address)) == address
    assert address[1] == port


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        ":1",
        "a:",
        "a:0",
        "a:65536",
        "a:-1",
        "a:+1",
        "a: 1",
        "a:٣",
        "::1:7001",
        "[::1:7001",
        "[a]:1",
        "a b:1",
        "ä:1",
    ]
    + [
        "a..b:1",
        "-a:1",
        "a-:1",
        "1.2.3:1",
        "1.2.3.256:1",
        "a/b:1",
        "a:1:2",
        "a:123456",
        "x" * 64 + ":1",
        "[::1]7001",
        "a\n:1",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        names.address(text)


@pytest.mark.parametrize(
    "text", ["party/16", "party/00", "party/-1", "party/٣", "party", "client/", "client/a/b", "client/é"]
)
def test_what_is_no_member(text: str) -> None:
    with pytest.raises(ValueError):
        names.member_name(text)
