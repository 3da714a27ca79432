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


@dataclass(frozen=True)
class Placement:
    """devices: one for all the parties of this process, or one for each of them; or, spread, all for each party.
    products: the form of ring products (`ring/product.py`).  inside: whether masks of ChaCha20 are drawn in compiled
    code, those of AES never are.  spread: whether arrays lie in parts on all the devices (`spread.py`)."""

    devices: tuple[Any, ...]
    products: str = DEFAULT_FORM
    inside: bool = False
    spread: bool = False

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


def _default_devices() -> tuple[Any, ...]:
    found = cast("Sequence[Any]", jax.devices())  # pyright: ignore[reportUnknownMemberType]  # JAX says not of what
    return tuple(found)
