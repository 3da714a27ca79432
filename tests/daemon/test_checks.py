"""A party's settings and folders: each mistake is found, by its name and place, all at once, and nothing is changed."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmpc.cluster import Roster
from jmpc.daemon import checks, confinement, settings
from jmpc.daemon.settings import Settings, read_settings, text_of
from jmpc.errors import ConfigError
from jmpc.service.limits import Limits
from tests.cluster.planted import edit

from .planted import FOLDERS, SETTINGS, WARNINGS, Plant


def now(days: int = 0) -> dt.datetime:
    """In so many days. Not once for all tests: the certificates of each are made when it begins."""
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=days)


def look(config: Path, days: int = 0) -> checks.Found:
    return checks.look(config, now(days), allow_root=True, code=False)


def test_nothing_is_wrong_with_a_new_party(config: Path) -> None:
    found = look(config)
    assert found.faults == ()
    assert found.settings is not None
    assert found.identity is not None
    assert (found.settings.party, found.settings.index, found.identity.name) == ("party/1", 1, "party/1")
    assert found.settings.limits == Limits()


@pytest.mark.parametrize(("plant", "name", "place"), SETTINGS.values(), ids=list(SETTINGS))
def test_each_wrong_setting_is_found(root: Path, config: Path, plant: Plant, name: str, place: str) -> None:
    plant(root)
    (fault,) = (fault for fault in look(config).faults if fault.name == name)
    assert str(config) in fault.where
    assert place in fault.where
    with pytest.raises(ConfigError) as caught:
        Settings.read(config)
    assert str(config) in caught.value.where
    assert caught.value.todo or caught.value.why


@pytest.mark.parametrize(("plant", "name", "place"), FOLDERS.values(), ids=list(FOLDERS))
def test_each_fault_of_a_folder_is_found(root: Path, config: Path, plant: Plant, name: str, place: str) -> None:
    plant(root)
    moved = root / "settings" / "party.toml"
    found = look(moved if moved.exists() else config)
    (fault,) = found.wrong
    assert fault.name == name
    assert place in fault.where
    assert fault.todo


@pytest.mark.parametrize(("plant", "name", "place"), WARNINGS.values(), ids=list(WARNINGS))
def test_each_warning_is_given(root: Path, config: Path, plant: Plant, name: str, place: str) -> None:
    plant(root)
    found = look(config)
    assert found.wrong == ()
    assert [fault.name for fault in found.faults] == [name]
    assert place in found.faults[0].where


def test_at_least_25_mistakes_are_known() -> None:
    assert len({name for _, name, _ in {**SETTINGS, **FOLDERS, **WARNINGS}.values()}) >= 18
    assert len(SETTINGS) + len(FOLDERS) + len(WARNINGS) >= 60


def test_all_is_found_at_once(root: Path, config: Path) -> None:
    planted = ("no cluster", "nowhere to listen", "no level", "half a session", "no memory", "no patience", "no links")
    for name in planted:
        SETTINGS[name][0](root)
    found = look(config).faults
    assert len(found) == len(planted) + 1  # `listens` is no key either
    assert {SETTINGS[name][1] for name in planted} < {fault.name for fault in found}
    with pytest.raises(ConfigError, match="7 more faults were found with it"):
        Settings.read(config)


def test_faults_of_all_folders_are_found_at_once(root: Path, config: Path) -> None:
    for path, mode in (("study/party-1/key.pem", 0o644), ("machine/storage.key", 0o644), ("machine/store", 0o755)):
        os.chmod(root / path, mode)
    assert [fault.name for fault in look(config).faults] == ["readable-key", "storage-key", "open-folder"]


def test_what_is_wrong_with_the_certificate_is_said(config: Path) -> None:
    assert [fault.warning for fault in look(config, 61).faults] == [True]
    assert "expired" in [fault.name for fault in look(config, 91).wrong]


def test_nothing_is_changed(root: Path, config: Path) -> None:
    before = {path: path.stat() for path in sorted(root.rglob("*"))}
    look(config)
    after = {path: path.stat() for path in sorted(root.rglob("*"))}
    assert [(path, found.st_mtime_ns, found.st_size) for path, found in before.items()] == [
        (path, found.st_mtime_ns, found.st_size) for path, found in after.items()
    ]


def test_root_is_refused_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert [fault.name for fault in confinement.user_faults(False)] == ["root"]
    assert confinement.user_faults(True) == []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert confinement.user_faults(False) == []


def test_the_values_of_variables_are_in_no_message(root: Path, config: Path) -> None:
    with config.open("a") as file:
        file.write('AWS_SECRET_ACCESS_KEY = "s3cret"\nXLA_FLAGS = ["s3cret"]\n')
    faults = look(config).faults
    assert len(faults) == 2
    assert "s3cret" not in "".join(str(fault.error()) for fault in faults)


def test_paths_are_relative_to_the_file(root: Path, config: Path) -> None:
    edit(root / "machine", '"storage.key"', '"keys/storage.key"', "party.toml")
    edit(root / "machine", 'state = "."', 'state = "/var/lib/jmpc"', "party.toml")
    found = Settings.read(config)
    assert found.storage_key == root / "machine" / "keys" / "storage.key"
    assert found.cluster == root / "study"
    assert (found.store, found.cache) == (Path("/var/lib/jmpc/store"), Path("/var/lib/jmpc/cache"))
    assert (found.programs, found.policy) == (root / "machine" / "programs", root / "machine" / "policy.toml")


def test_what_may_be_left_out_has_the_documented_value(tmp_path: Path) -> None:
    text = 'format = 1\nparty = "party/2"\ncluster = "study"\nlisten = "[::]:7003"\n'
    found, faults = read_settings(text, tmp_path / "party.toml")
    assert faults == []
    assert found is not None
    assert found.identity == tmp_path / "study" / "party-2"
    assert found.storage_key == tmp_path / "storage.key"
    assert (found.metrics, found.grace_s, found.log_level) == (("127.0.0.1", 9464), 60, "info")
    assert (found.limits, found.quota, dict(found.environment)) == (Limits(), 64 << 30, {})
    assert (found.client_quota, dict(found.client_quotas)) == (32 << 30, {})
    for limits, most in (('[limits]\nquota = "10 MiB"\n', 5 << 20), ("[limits]\nsessions = 1\n", 32 << 30)):
        found, _ = read_settings(text + limits, tmp_path / "party.toml")
        assert found is not None
        assert found.client_quota == most


def test_clients_may_have_quotas_of_their_own(config: Path) -> None:
    quotas = {"alice": 3 << 30, "hospital-a.b": 5 << 20}
    text = text_of(replace(Settings.read(config), client_quota=1 << 30, client_quotas=quotas))
    found, faults = read_settings(text, config)
    assert faults == []
    assert found is not None
    assert [found.client_quota_of(name) for name in (*quotas, "bob")] == [3 << 30, 5 << 20, 1 << 30]


def test_the_text_of_settings_says_them_all(config: Path) -> None:
    found = Settings.read(config)
    assert text_of(found) == config.read_text()
    said = tomllib.loads(config.read_text())
    assert set(said["limits"]) == {*Limits.__dataclass_fields__, "quota", "client_quota"}
    others = {"path", "policy_named", "quota", "client_quota"}
    assert {*said, "policy", "hosts"} == {*Settings.__dataclass_fields__, "format"} - others


def test_odd_paths_are_written_so_that_they_are_read_again(tmp_path: Path, config: Path) -> None:
    for name in ('a "b"', "c\\d", "e\nf", "\U0001f512", "g#h", "$(i)"):
        found = Settings.read(config)
        moved = shutil.copytree(config.parent, tmp_path / name) / "party.toml"
        moved.write_text(text_of(found).replace("../study", os.path.relpath(found.cluster, moved.parent)))
        other = Settings(**{**_fields(found), "path": moved, "cluster": moved.parent, "identity": moved.parent / name})
        again, faults = read_settings(text_of(other), moved)
        assert faults == []
        assert again is not None
        assert again.identity == other.identity


def _fields(found: Settings) -> dict:
    return {name: getattr(found, name) for name in Settings.__dataclass_fields__}


MADE = text_of(
    Settings(
        Path("/m/party.toml"), "party/1", Path("/m/study"), Path("/m/study/party-1"), Path("/m/storage.key"),
        Path("/m"), Path("/m/programs"), Path("/m/policy.toml"), False, ("127.0.0.1", 7002),
    )
)  # fmt: skip


@given(st.data())
def test_any_text_is_settings_or_faults_of_the_file(data: st.DataObject) -> None:
    """A piece of a good file in place of another piece of it: never another error, and never a fault with no place."""
    cuts = st.integers(0, len(MADE))
    start, end = sorted((data.draw(cuts), data.draw(cuts)))
    first, last = sorted((data.draw(cuts), data.draw(cuts)))
    text = MADE[:start] + data.draw(st.sampled_from(["", MADE[first:last], "\0", '"', "= [", "\ud800"])) + MADE[end:]
    found, faults = read_settings(text, Path("/m/party.toml"))
    assert (found is None) == bool(faults)
    assert all(fault.where.startswith("/m/party.toml") for fault in faults)


def test_the_roster_that_is_found_is_the_clusters(root: Path, config: Path) -> None:
    found = look(config)
    assert found.roster == Roster.read(root / "study" / "cluster.toml")
    assert config.name == settings.FILE
