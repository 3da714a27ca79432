"""Which modules are mutated, and which tests should notice.

What goes in: nothing. What comes out: for each module, stages of tests, the quickest first; and, for tests that run for
each protocol, the protocols. All tests run in one process, since a process of its own would import the module as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

ROOT = "jmpc.families.replicated3.protocols"
PROPERTY = "tests/protocols/test_properties.py::test_a_protocol_gives_its_result_at_its_stated_cost"
MASKED = "tests/testing/test_privacy_protocols.py::test_every_message_is_masked"
EXACT = "tests/testing/test_privacy_protocols.py::test_exactly_private"
UNIFORM = "tests/protocols/test_messages.py::test_no_view_depends_on_the_inputs"
NARROW = "tests/protocols/test_messages.py::test_no_message_has_bits_above_the_ring"
EXHAUSTIVE = "tests/protocols/test_exhaustive.py"
BUILDING_BLOCKS = ("reshare", "open_split", "split", "to_sum3", "msb", "truncate_wrap", "dabit", "inject_dabit")
CHOSEN = ("and", "dabit", "inject", "inject_dabit", "msb", "zero_test", "bits_of", "pair_rank", "radix_rank")


@dataclass(frozen=True)
class Target:
    """stages: arguments of pytest, one run after the other.  ops: whose cases run in tests by protocol; None: those
    that the module defines."""

    module: str
    stages: tuple[tuple[str, ...], ...]
    ops: tuple[str, ...] | None = None


def protocols(name: str, *more: str, ops: tuple[str, ...] | None = None) -> Target:
    """A module of protocols: its results and costs, its messages, and what is run for every view."""
    stages = ((PROPERTY, MASKED, NARROW), more, (EXACT, UNIFORM))
    return Target(f"{ROOT}.{name}", tuple(stage for stage in stages if stage), ops)


RUNTIME = "tests/runtime/test_{}.py"
COUNTER = "tests/executors/test_forms.py::test_words_from_any_place_are_the_same_on_the_host_and_inside"
SHARES = "tests/protocols/test_share.py"
DEALT = "tests/protocols/test_dealt.py"
PARTS = "tests/testing/test_privacy_parts.py"
CONFORMANCE = RUNTIME.format("channel_conformance")
SMALL = ("tests/party/test_small_plans.py",)
LOOPS = ("tests/party/test_plan.py", "tests/party/test_masks.py", "-k", "loop or share or segments or freed or mask")
SCHEDULES = ("tests/party/test_schedule.py", "-k", "malformed or tampered or sent_after or json or dealt_for")
TARGETS = (
    Target("jmpc.runtime.frames", ((RUNTIME.format("frames"),), (RUNTIME.format("links"), CONFORMANCE))),
    Target("jmpc.runtime.links", ((RUNTIME.format("links"),), (CONFORMANCE,), ("tests/service/test_service.py",))),
    Target("jmpc.runtime.channel", ((CONFORMANCE,),)),
    Target("jmpc.executors.masks", (("tests/executors/test_masks.py", "tests/party/test_masks.py", COUNTER),)),
    Target("jmpc.families.sharing", (("tests/executors/test_sharing.py",),)),
    Target("jmpc.party.schedule", (SMALL, LOOPS, SCHEDULES)),
    Target("jmpc.party.cut", (SMALL, LOOPS, SCHEDULES)),
    Target("jmpc.party.report", (("tests/party/test_report.py",),)),
    Target("jmpc.party.cost", (("tests/families/test_dealer2.py", "-k", "costs"), (PROPERTY,)), BUILDING_BLOCKS),
    Target("jmpc.families.replicated3.lowering.predict", ((PROPERTY,), ("tests/protocols/test_choose.py",)), CHOSEN),
    Target(
        "jmpc.arguments",
        (("tests/api/test_arguments.py",), ("tests/api/test_bad_input.py", "tests/api/test_secure.py")),
    ),
    Target(
        "jmpc.backends",
        (("tests/api/test_backend_runs.py", "tests/api/test_backends.py"), ("tests/api/test_handles.py",)),
    ),
    Target("jmpc.owner", (("tests/api/test_owner.py",),)),
    Target("jmpc.executors.placement", (("tests/executors/test_placement.py",),)),
    Target("jmpc.executors.code_store", (("tests/executors/test_code_store.py", "tests/executors/test_placement.py"),)),
    Target("jmpc.recent", (("tests/test_recent.py",),)),
    Target("jmpc.party.exchange", (("tests/party/test_masks.py", SHARES), (PROPERTY,)), BUILDING_BLOCKS),
    protocols("share", SHARES, ops=BUILDING_BLOCKS),
    protocols("logic", "tests/protocols/test_logic.py"),
    protocols("multiply"),
    protocols("truncate", EXHAUSTIVE),
    protocols("compare", EXHAUSTIVE),
    protocols("convert", EXHAUSTIVE),
    protocols("bits"),
    protocols("wrap"),
    protocols("exponent"),
    protocols("exponential", DEALT),
    protocols("periodic", DEALT),
    protocols("onehot"),
    protocols("pairs", "tests/protocols/test_opened.py"),
    protocols("counts"),
    protocols("shuffle", PARTS),
    protocols("radix", PARTS),
    protocols("row_words", ops=("bit_words", "radix_rank")),
    protocols("random", "tests/protocols/test_random.py"),
)
