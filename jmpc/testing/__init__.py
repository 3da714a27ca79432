"""Protocols and secure functions checked by property: what jmpc's own tests use, for yours.

Names are loaded when they are first used, as in `jmpc` itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES: dict[str, str] = {
    "Fault": "jmpc.testing.faults.plan",
    "FaultPlan": "jmpc.testing.faults.plan",
    "FaultyThreads": "jmpc.testing.faulty",
    "Inputs": "jmpc.testing.protocol_script",
    "PrivacyError": "jmpc.testing.privacy.report",
    "UnderFaults": "jmpc.testing.faulty",
    "aborts": "jmpc.testing.faults.expect",
    "assert_close": "jmpc.testing.compare",
    "assert_cost_stated": "jmpc.testing.cost",
    "assert_rule": "jmpc.testing.metamorphic",
    "assert_secure_close": "jmpc.testing.check",
    "bit_arrays": "jmpc.testing.draw.elements",
    "broadcast_pairs": "jmpc.testing.draw.strategies",
    "check_channels": "jmpc.testing.conformance.channels",
    "check_executor": "jmpc.testing.conformance.executors",
    "check_example": "jmpc.testing.protocol_check",
    "check_operation": "jmpc.testing.operation_check",
    "check_private_everywhere": "jmpc.testing.privacy.everywhere",
    "check_private_exact": "jmpc.testing.privacy.exact",
    "check_private_statistical": "jmpc.testing.privacy.statistical",
    "check_private_structural": "jmpc.testing.privacy.structural",
    "check_protocol": "jmpc.testing.protocol_check",
    "executor": "jmpc.testing.executors",
    "fault_plans": "jmpc.testing.faults.strategies",
    "faulty_parties": "jmpc.testing.faulty",
    "fixed_point": "jmpc.testing.draw.elements",
    "programs": "jmpc.testing.draw.jax_programs",
    "protocol": "jmpc.extend",
    "pytrees_of_secrets": "jmpc.testing.draw.strategies",
    "recovers": "jmpc.testing.faults.expect",
    "ring_arrays": "jmpc.testing.draw.elements",
    "ring_elements": "jmpc.testing.draw.elements",
    "run_protocol": "jmpc.testing.simulator.protocol_run",
    "shapes": "jmpc.testing.draw.strategies",
    "shares_of": "jmpc.testing.draw.strategies",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jmpc.testing' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
