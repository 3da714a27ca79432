"""The links that are measured, by name: latency one way (half of the round trip), bytes a second each way."""

from __future__ import annotations

from dataclasses import dataclass

from jmpc.config import Network

MBIT = 1e6 / 8


@dataclass(frozen=True)
class Profile:
    """link: what a directed link between two hosts has.  config: the profile of `jmpc.Config` that suits it, by which
    protocols are chosen.  source: where the figures are from."""

    link: Network
    config: str
    source: str

    @property
    def text(self) -> str:
        return f"{self.link.bandwidth / MBIT:g} Mbit/s, {2e3 * self.link.latency_s:g} ms round trip"


def _profile(name: str, round_trip_s: float, bandwidth: float, config: str, source: str) -> Profile:
    return Profile(Network(name, round_trip_s / 2, bandwidth), config, source)


PROFILES = {
    p.link.name: p
    for p in (
        _profile("lan", 0.2e-3, 10_000 * MBIT, "lan", "a local network"),
        _profile("metro", 5e-3, 1_000 * MBIT, "metro", "two sites of one city"),
        _profile("wan", 40e-3, 100 * MBIT, "wan", "two sites of one continent"),
        _profile("lan-625", 0.22e-3, 625e6, "lan", "SecureNN's and Falcon's LAN"),
        _profile("wan-40", 58e-3, 40e6, "wan", "SecureNN's and Falcon's WAN"),
        _profile("wan-352", 40e-3, 352 * MBIT, "wan", "TF Encrypted's WAN"),
    )
}
