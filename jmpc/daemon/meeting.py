"""The hosts of one party meet: its head's engine, once the others are there.

In: settings with `[hosts]`, who watches. Out: hosts that are joined, and said so; an engine over all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jmpc.daemon import devices
from jmpc.daemon.settings import Settings
from jmpc.errors import HostError
from jmpc.executors.host_order import HostOrder
from jmpc.service.events import Observer

if TYPE_CHECKING:
    from jmpc.executors.hosted import HeadEngine
    from jmpc.executors.hosts import Hosts


def meet(order: HostOrder, observer: Observer, when_lost: Callable[[HostError], None]) -> Hosts:
    """Wait for all hosts of a party. Raises HostError where they do not come in time."""
    from jmpc.executors.hosts import Hosts  # takes JAX, and seconds

    observer.event(
        "waiting for hosts", host=order.index, hosts=order.count, address=order.address, seconds=order.launch_s
    )
    hosts = Hosts.join(order, when_lost)
    observer.event("hosts met", host=order.index, hosts=order.count)
    return hosts


def head(
    settings: Settings, order: HostOrder, observer: Observer, when_lost: Callable[[HostError], None]
) -> HeadEngine:
    """The engine of the process that has the party's identity. Raises HostError as `meet`, ConfigError where devices
    are not there."""
    from jmpc.executors.hosted import HeadEngine

    hosts = meet(order, observer, when_lost)
    return HeadEngine(settings.index, hosts, devices.placement(settings, joined=True))
