"""Where parties compute, and what is chosen for it: devices, the form of ring products, where masks are drawn.

What goes in: devices of JAX, or nothing for those that JAX would take. What comes out: a `Placement`, which is handed
down from here and is a part of every key of plans and compiled code. No other file asks JAX what it runs on.

Results are the same bits in every placement. Whether JAX's 64-bit numbers are on (`jax_enable_x64`) is no part of it:
parties always compute with them, and the setting decides what the user's function is traced to (`arguments.SETTINGS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import jax

from jmpc import _jax
from jmpc.config import CHACHA20
from jmpc.errors import ConfigError
from jmpc.ring.product import DEFAULT_FORM

CPU = "cpu"
ANY = "any"
PLATFORMS = (ANY, CPU, "gpu", "tpu")  # of a party; any: the one that JAX prefers


@dataclass(frozen=True)
class Placement:
    """devices: one for all the parties of this process, or one for each of them; or, spread, all for each party.
    products: the form of ring products (`ring/product.py`).  inside: whether masks of ChaCha20 are drawn in compiled
    code, those of AES never are.  spread: whether arrays lie in parts on all the devices (`spread.py`).  hosts: the
    devices are those of several processes."""

    devices: tuple[Any, ...]
    products: str = DEFAULT_FORM
    inside: bool = False
    spread: bool = False
    hosts: bool = False

    @property
    def platform(self) -> str:
        return self.devices[0].platform

    @property
    def on_cpu(self) -> bool:
        return self.platform == CPU

    def draws_inside(self, prf: str) -> bool:
        """Whether compiled code draws the masks itself, from keys and places; else it gets their words."""
        return self.inside and prf == CHACHA20

    def text(self) -> str:
        """All of it that decides what XLA makes of a program, with all of JAX and of the machine that does: the same in
        another process that is alike."""
        spread = ", spread" if self.spread else ""
        return f"{_jax.platform_text(self.devices)}\nproducts {self.products}, inside {self.inside}{spread}"

    @classmethod
    def on(cls, devices: Sequence[Any]) -> Placement:
        """What suits these devices: integer slabs and masks of the host on CPUs, int8 limbs and masks of their own on
        accelerators."""
        found = tuple(devices)
        return cls(found) if found[0].platform == CPU else cls(found, "int8", True)

    @classmethod
    def here(cls) -> Placement:
        """The device of this thread: that of `with jax.default_device(...)`, else JAX's first."""
        return cls.on([_jax.default_device()])

    @classmethod
    def over(cls, devices: Sequence[Any]) -> Placement:
        """One party on all of these devices of one kind."""
        found = cls.on(devices)
        return replace(found, spread=len(found.devices) > 1)

    @classmethod
    def over_hosts(cls, count: int | None = None, platform: str = ANY) -> Placement:
        """One party on so many devices of each of its processes, None for all of them, once they are joined
        (`hosts.py`). Raises ConfigError as `of_party`."""
        by_process: dict[int, list[Any]] = {}
        for device in _devices_of(platform):
            by_process.setdefault(device.process_index, []).append(device)
        found = [device for mine in by_process.values() for device in _so_many(tuple(mine), count)]
        return replace(cls.over(found), spread=True, hosts=True)

    @classmethod
    def of_party(cls, count: int | None = 1, platform: str = ANY) -> Placement:
        """One party on so many devices of its machine, None for all of them. platform: one of PLATFORMS. Raises
        ConfigError where there are fewer, or none of the platform."""
        return cls.over(_so_many(_devices_of(platform), count))

    @property
    def said(self) -> str:
        """The devices, for people."""
        kind = self.devices[0].device_kind
        where = f", {len({device.process_index for device in self.devices})} hosts" if self.hosts else ""
        return f"{len(self.devices)} {self.platform}{'' if kind == self.platform else f' ({kind})'}{where}"

    @property
    def listed(self) -> str:
        """Each device, and the process that it is of."""
        return ", ".join(f"{self.platform} {device.id} of host {device.process_index}" for device in self.devices)

    @classmethod
    def of_each(cls, devices: Sequence[Any] | None = None, parties: int = 3) -> Placement:
        """A device for each party, of those given or of JAX's default platform. Raises ConfigError where there are
        fewer."""
        found = tuple(devices) if devices is not None else _default_devices()
        if len(found) >= parties:
            return cls.on(found[:parties])
        raise ConfigError(
            f"the mesh executor needs {parties} devices, and there {'is' if len(found) == 1 else 'are'} {len(found)}",
            where="jmpc.mesh(devices)",
            why="each party has a device of its own; the number of CPU devices is fixed when JAX starts",
            todo=[
                f'on a CPU: jax.config.update("jax_num_cpu_devices", {parties}) before the first use of JAX',
                f"or set XLA_FLAGS=--xla_force_host_platform_device_count={parties} before Python starts",
                "or use the default executor, which needs one device",
            ],
        )


_MORE_CPUS = (
    'a CPU is one device; for tests it can be several: XLA_FLAGS = "--xla_force_host_platform_device_count=2" '
    "under [environment]"
)


def _so_many(found: tuple[Any, ...], count: int | None) -> tuple[Any, ...]:
    """The first of one process's devices."""
    if count is not None and count > len(found):
        there = f"there {'is' if len(found) == 1 else 'are'} {len(found)}"
        raise ConfigError(
            f"the party shall compute on {count} devices, and {there}",
            where="devices",
            why=f"{', '.join(str(device) for device in found)}: no more are here, or its process may not see them",
            todo=_MORE_CPUS if found[0].platform == CPU else f"give a number up to {len(found)}",
        )
    return found[:count]


def _devices_of(platform: str) -> tuple[Any, ...]:
    if platform == ANY:
        return _default_devices()
    try:
        return tuple(cast("Sequence[Any]", jax.devices(platform)))  # pyright: ignore[reportUnknownMemberType]  # as below
    except RuntimeError as exc:
        raise ConfigError(
            f"there is no device of platform {platform} here",
            where="platform",
            why="JAX finds none: no such hardware, no driver, or a JAX without support for it",
            todo=f'install JAX for it (pip install "jax[cuda13]" for GPUs of NVIDIA), or say platform = "{ANY}"',
        ) from exc


def _default_devices() -> tuple[Any, ...]:
    found = cast("Sequence[Any]", jax.devices())  # pyright: ignore[reportUnknownMemberType]  # JAX says not of what
    return tuple(found)
