"""`jmpc doctor`: what is planted is found by its name, with a fix; a sound cluster is said to be sound."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jmpc.cluster import Roster, change
from jmpc.cluster.change import Signing
from jmpc.command.main import run
from tests.service.three import Three

Read = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Three]:
    with Three(tmp_path_factory.mktemp("doctor"), ["alice", "bob"]) as three:
        yield three


@pytest.fixture
def folder(running: Three, tmp_path: Path) -> Path:
    """A copy of the cluster's folder, to be spoilt."""
    shutil.copytree(running.folder, tmp_path / "study")
    return tmp_path / "study"


def asked(capsys: Read, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = run(["doctor", *arguments, "--patience", "1", "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("member", ["client/alice", "party/1", "alice"])
def test_a_sound_cluster_is_said_to_be_sound(folder: Path, member: str, capsys: Read) -> None:
    code, said = asked(capsys, str(folder), "--as", member)
    assert (code, said["ok"], said["faults"]) == (0, True, [])
    assert len(said["reached"]) == (2 if member == "party/1" else 3)
    assert all(seconds > 0 for seconds in said["reached"].values())
    assert run(["doctor", str(folder), "--as", member]) == 0
    printed = capsys.readouterr().out
    assert "answers in" in printed
    assert printed.endswith("nothing is wrong\n")


def moved(folder: Path, host: str, party: int = 2) -> None:
    path = folder / "cluster.toml"
    port = Roster.read(path).parties[party].address[1]  # type: ignore[index]
    path.write_text(path.read_text().replace(f"127.0.0.1:{port}", host))


def listening(serve: Callable[[socket.socket], None]) -> str:
    """Something else at a port."""
    server = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(server,), daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def silent(server: socket.socket) -> None:
    held = [server.accept()[0] for _ in range(2)]
    threading.Event().wait(5)
    for sock in held:
        sock.close()


def web(server: socket.socket) -> None:
    while True:
        sock, _ = server.accept()
        sock.recv(100)
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        sock.close()


def nobody() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def other_port(folder: Path, running: Three) -> None:
    path = folder / "cluster.toml"
    ports = [running.addresses[party][1] for party in (1, 2)]
    text = path.read_text().replace(f":{ports[0]}", ":swap").replace(f":{ports[1]}", f":{ports[0]}")
    path.write_text(text.replace(":swap", f":{ports[1]}"))


def revoked(folder: Path) -> None:
    change.revoke(folder, "client/alice", dt.datetime.now(dt.UTC))


def rotated_here_alone(folder: Path) -> None:
    change.rotate(folder, "client/alice", Signing(lambda: b"", dt.datetime.now(dt.UTC)))


def old_file(folder: Path) -> None:
    """A cluster.toml with another authority's deadlines is another hash for parties."""
    change.rotate(folder, "party/2", Signing(lambda: b"", dt.datetime.now(dt.UTC)))


PLANTED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no such host": (lambda f: moved(f, "nowhere.invalid:7001"), "unknown-host"),
    "nobody listens": (lambda f: moved(f, nobody()), "unreachable"),
    "a port that says nothing": (lambda f: moved(f, listening(silent)), "silent"),
    "a web server": (lambda f: moved(f, listening(web)), "refused"),
    "another key of ours": (rotated_here_alone, "refused"),
    "another key of a party": (old_file, "refused"),
    "our key is revoked": (revoked, "revoked"),
    "a key that others read": (lambda f: (f / "client-alice" / "key.pem").chmod(0o644), "readable-key"),
    "no key": (lambda f: (f / "client-alice" / "key.pem").unlink(), "missing-file"),
    "no certificate": (lambda f: (f / "client-alice" / "certificate.pem").unlink(), "missing-file"),
    "somebody else's folder": (
        lambda f: [shutil.rmtree(f / "client-alice"), shutil.copytree(f / "client-bob", f / "client-alice")],
        "swapped-folder",
    ),
    "no cluster file": (lambda f: (f / "cluster.toml").unlink(), "missing-file"),
    "a file that is no TOML": (lambda f: (f / "cluster.toml").write_text("= ="), "not-toml"),
    "a file that others write": (lambda f: (f / "cluster.toml").chmod(0o666), "writable-file"),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_found_with_a_fix(plant: str, folder: Path, capsys: Read) -> None:
    spoil, fault = PLANTED[plant]
    spoil(folder)
    code, said = asked(capsys, str(folder), "--as", "client/alice")
    assert code == 1
    assert fault in [one["name"] for one in said["faults"]], said
    assert all(one["todo"] for one in said["faults"])
    assert "PRIVATE" not in json.dumps(said)


def test_swapped_addresses_are_found(running: Three, folder: Path, capsys: Read) -> None:
    other_port(folder, running)
    code, said = asked(capsys, str(folder), "--as", "client/alice")
    assert code == 1
    assert [one["name"] for one in said["faults"]] == ["disagrees", "refused", "refused"]
    assert "it names party 2" in json.dumps(said)


def test_another_version_is_found(folder: Path, capsys: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jmpc.service.reach.__version__", "0.0.9")
    code, said = asked(capsys, str(folder), "--as", "client/alice")
    assert code == 1
    assert {one["what"].partition(" ")[2] for one in said["faults"]} == {"disagrees on version"}


def test_a_party_finds_its_peers_and_its_own_faults(running: Three, tmp_path: Path, capsys: Read) -> None:
    assert run(["party", "new", str(tmp_path / "p"), "--cluster", str(running.folder), "--as", "party/1"]) == 0
    capsys.readouterr()
    code, said = asked(capsys, str(tmp_path / "p"), "--allow-root")
    assert (code, said["reached"].keys()) == (0, {"party/0", "party/2"}), said
    (tmp_path / "p" / "storage.key").chmod(0o644)
    code, said = asked(capsys, str(tmp_path / "p" / "party.toml"), "--allow-root")
    assert code == 1
    assert "storage-key" in [one["name"] for one in said["faults"]]


def test_whose_way_is_meant_must_be_said_where_several_are_here(folder: Path, capsys: Read) -> None:
    assert run(["doctor", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "party-0" in error
    assert "--as" in error


def test_where_to_look_is_said_as_elsewhere(folder: Path, capsys: Read) -> None:
    for option in ("--cluster", "--config"):
        assert asked(capsys, option, str(folder / "cluster.toml"), "--as", "alice")[0] == 0
    assert run(["doctor", str(folder), "--cluster", str(folder)]) == 2
    assert "more than once" in capsys.readouterr().err
    assert run(["doctor", str(folder / "authority")]) == 1
    assert "there is no party.toml and no cluster.toml" in capsys.readouterr().err
