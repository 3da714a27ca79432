"""Protocols and secure functions checked by property: what jmpc's own tests use, for yours.

Names are loaded when they are first used, as in `jmpc` itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES: dict[str, str] = {
    "Fault": "jmpc.testing.faults",
    "FaultPlan": "jmpc.testing.faults",
    "Inputs": "jmpc.testing.protocol_check",
    "PrivacyError": "jmpc.testing.privacy_report",
    "aborts": "jmpc.testing.expect",
    "assert_close": "jmpc.testing.compare",
    "assert_cost_stated": "jmpc.testing.cost",
    "assert_rule": "jmpc.testing.metamorphic",
    "assert_secure_close": "jmpc.testing.check",
    "bit_arrays": "jmpc.testing.elements",
    "broadcast_pairs": "jmpc.testing.strategies",
    "check_operation": "jmpc.testing.operation_check",
    "check_private_everywhere": "jmpc.testing.everywhere",
    "check_private_exact": "jmpc.testing.privacy_exact",
    "check_private_statistical": "jmpc.testing.privacy_statistical",
    "check_private_structural": "jmpc.testing.privacy_structural",
    "check_protocol": "jmpc.testing.protocol_check",
    "executor": "jmpc.testing.paths",
    "fault_plans": "jmpc.testing.fault_strategies",
    "faulty_parties": "jmpc.testing.faulty",
    "fixed_point": "jmpc.testing.elements",
    "programs": "jmpc.testing.random_programs",
    "protocol": "jmpc.extend",
    "pytrees_of_secrets": "jmpc.testing.strategies",
    "recovers": "jmpc.testing.expect",
    "ring_arrays": "jmpc.testing.elements",
    "ring_elements": "jmpc.testing.elements",
    "run_protocol": "jmpc.testing.protocol_run",
    "shapes": "jmpc.testing.strategies",
    "shares_of": "jmpc.testing.strategies",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'jmpc.testing' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
