"""The devices that `party.toml` gives a party: found before it runs, used as it runs, and said."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jmpc
from jmpc.command.main import run
from jmpc.daemon import devices, status
from jmpc.daemon.settings import Settings
from jmpc.daemon.trial import Trial, trial
from tests.cluster.planted import edit

TWO_CPUS = 'XLA_FLAGS = "--xla_force_host_platform_device_count=2"\n'


def set_devices(config: Path, count: str, environment: str = "", platform: str = "cpu") -> Settings:
    edit(config.parent, "devices = 1", f"devices = {count}", config.name)
    edit(config.parent, 'platform = "any"', f'platform = "{platform}"', config.name)
    with config.open("a") as file:
        file.write(environment)
    return Settings.read(config)


def test_devices_that_are_not_there_are_found_before_the_party_runs(config: Path) -> None:
    (fault,) = devices.faults(set_devices(config, "2"))
    assert (fault.name, fault.what) == ("no-devices", "the party shall compute on 2 devices, and there is 1")
    assert fault.where == f"{config} (devices)"
    assert "xla_force_host_platform_device_count" in fault.todo
    assert run(["party", "check", "--config", str(config), "--allow-root"]) == 1


def test_a_platform_that_is_not_there_is_found(config: Path) -> None:
    settings = set_devices(config, '"all"', 'JAX_PLATFORMS = "cpu"\n', platform="tpu")
    (fault,) = devices.faults(settings)
    assert (fault.what, fault.where) == ("there is no device of platform tpu here", f"{config} (platform)")


def test_a_process_that_dies_of_its_environment_is_a_fault(config: Path) -> None:
    (fault,) = devices.faults(set_devices(config, "1", 'XLA_FLAGS = "--xla_no_such_flag=1"\n'))
    assert fault.what == "the devices do not answer"


def test_devices_that_are_there_are_no_fault(config: Path) -> None:
    assert devices.faults(set_devices(config, "2", TWO_CPUS)) == []


def restarted(cluster: Trial, party: int, count: str) -> None:
    cluster.kill(party)
    cluster.settings[party] = set_devices(cluster.settings[party].path, count, TWO_CPUS)
    cluster.start(party)
    cluster.wait()


def test_parties_on_several_devices_give_the_same_bits(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(3).integers(-50, 50, (96, 120), dtype=np.int32)  # large enough to lie in parts
    body = jmpc.secure(lambda x: jnp.maximum(x @ x.T, 0), outputs="alice", owners=["alice"])
    with trial(["alice"]) as cluster:
        restarted(cluster, 0, '"all"')
        restarted(cluster, 1, "2")
        alice = jmpc.connect(cluster.folder, identity="alice")
        alice.put(x, "x")
        assert np.array_equal(np.asarray(alice.run(body, jmpc.stored("x"))), np.maximum(x @ x.T, 0))
        alice.close()
        said = [status.ask(settings).devices for settings in cluster.settings]
        assert run(["party", "status", "--config", str(cluster.settings[1].path)]) == 0
        assert "  devices: 2 cpu\n" in capsys.readouterr().out
        logged = [json.loads(line) for line in cluster.log(1).read_text().splitlines()]
    assert said == ["2 cpu", "2 cpu", "1 cpu"]
    assert [line["devices"] for line in logged if line["event"] == "devices found"] == ["1 cpu", "2 cpu"]
