"""A check finds each planted fault by its name, says where and what to do, and finds nothing in a good cluster."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from jmpc.cluster import check, doctor
from jmpc.cluster.names import Address
from jmpc.command import cluster
from jmpc.command.main import run

from .planted import DAY, NOW, PLANTED, Planted, another_owner


def known_hosts(address: Address) -> object:
    if address[0] != "localhost":
        raise socket.gaierror(socket.EAI_NONAME, "unknown")
    return address


def test_a_good_cluster_has_no_fault(study: Path) -> None:
    report = check(study, now=NOW, resolve=known_hosts)
    assert report.faults == ()
    assert report.members == ("party/0", "party/1", "party/2", "client/hospital-a", "client/model-owner")


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: f"{fault.name} {fault.id}".strip())
def test_a_planted_fault_is_found_by_its_name(
    fault: Planted, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault.plant(study)
    monkeypatch.setattr(cluster, "_now", lambda: NOW + fault.later)
    monkeypatch.setattr(doctor, "look_up", known_hosts)
    asked = ["cluster", "check", str(study), *(["--as", fault.member] if fault.member else [])]

    code = run([*asked, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert code == (0 if fault.warning else 1)
    assert said["ok"] is fault.warning
    found = [one for one in said["faults"] if one["name"] == fault.name]
    assert found
    assert all(one["warning"] is fault.warning for one in found)
    assert all(str(study) in one["where"] for one in found)
    assert all(one["why"] or one["todo"] for one in found)

    assert run(asked) == code
    printed = capsys.readouterr()
    assert f"{'warning' if fault.warning else 'fault'} {fault.name}: " in printed.out
    assert printed.err == ""


def test_there_are_as_many_faults_as_promised() -> None:
    assert len({fault.name for fault in PLANTED}) >= 25


def test_a_key_of_another_user_is_found(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:
        another_owner(study / "party-0" / "key.pem")
    else:
        me = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert "foreign-owner" in {fault.name for fault in check(study, now=NOW, resolve=None).faults}


def test_days_that_are_left_are_said(study: Path) -> None:
    said = {
        days: {fault.what for fault in check(study, now=NOW + (90 - days) * DAY, resolve=None).faults}
        for days in (31, 30, 7, 1)
    }
    assert said == {
        31: set(),
        30: {"the certificate ends within 30 days"},
        7: {"the certificate ends within 7 days"},
        1: {"the certificate ends within 1 day"},
    }


def test_the_nearest_known_key_is_named(study: Path) -> None:
    text = (study / "cluster.toml").read_text()
    (study / "cluster.toml").write_text(text.replace("revision = 1", "revison = 1"))
    (fault,) = [one for one in check(study, now=NOW, resolve=None).faults if one.name == "unknown-key"]
    assert fault.todo == "write revision"
    assert ":8 (revison)" in fault.where


def test_hosts_are_not_looked_up_where_that_is_not_wanted(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(address: Address) -> object:
        raise AssertionError(address)

    monkeypatch.setattr(doctor, "look_up", never)
    assert run(["cluster", "check", str(study), "--no-resolve"]) in (0, 1)  # by the clock of today
