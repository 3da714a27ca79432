"""The engine of a party process: program text -> plan -> executables -> results, for one party.

What goes in: the text that the parties agreed on (share-level IR and joint schedule), a channel, mask keys, and this
party's pieces of the inputs. What comes out: its pieces of the outputs. The front end is not imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from jmpc import _typed, families
from jmpc.errors import ProgramError
from jmpc.executors.code_store import CodeStore
from jmpc.executors.masks import streams
from jmpc.executors.placement import Placement
from jmpc.executors.run import Run, Store
from jmpc.executors.segment import Placed
from jmpc.ir.plan import Exchange, Plan
from jmpc.ir.program import Program
from jmpc.ir.spec import verify
from jmpc.ir.text import parse_program, print_program
from jmpc.party.build import build_plan
from jmpc.party.schedule import Schedule
from jmpc.ring.keys import MaskKeys

SEPARATOR = "\nschedule "
SCHEDULE_BYTES = 1 << 24


def program_text(program: Program, schedule: Schedule) -> str:
    """What is sent to the parties and hashed by them: the share-level program, then the joint schedule."""
    return print_program(program, locations=False) + SEPARATOR + json.dumps(schedule.to_data(), separators=(",", ":"))


def text_hash(text: str) -> str:
    """What a program is approved and agreed on by."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_program(text: str) -> tuple[Program, Schedule]:
    """Inverse of `program_text`, for a text of anybody. Raises ProgramError where it is not a program that is legal at
    the share level, with a schedule behind it; whether that schedule fits is found where a plan is made."""
    body, found, tail = text.partition(SEPARATOR)
    if not found or len(tail) > SCHEDULE_BYTES:
        raise ProgramError("the program comes without its schedule", todo="send it with program_text")
    try:
        data = json.loads(tail)
    except (ValueError, RecursionError) as error:
        raise ProgramError("the schedule is not JSON", todo="send the program again") from error
    program = parse_program(body)
    verify(program, "share")
    return program, Schedule.from_data(data)


def make_engine(party: int, place: Callable[[], Placement] | None = None) -> PartyEngine:
    """The factory that a party process calls. place: says where it computes, once JAX may be asked."""
    _typed.settings.update("jax_cpu_enable_async_dispatch", False)
    return PartyEngine(party, place() if place else None)


class PartyEngine:
    """One party's programs, by hash, and their code. placement: the one that suits JAX's first device by default.
    one_at_a_time: runs wait for one another here, so that all parties must begin them in one order."""

    one_at_a_time = False

    def __init__(self, party: int, placement: Placement | None = None, store: CodeStore | None = None) -> None:
        self.party, self._placement = party, placement
        self.store = CodeStore() if store is None else store
        self.placed: dict[str, Placed] = {}
        self.programs: dict[str, Program] = {}

    @cached_property
    def placement(self) -> Placement:
        """Asked at the first program, not while the process starts."""
        return self._placement or Placement.here()

    def load(self, text: str) -> str:
        """Parse, verify, trace and cut. Raises ProgramError where the text is not a valid program."""
        program, schedule = read_program(text)
        if self.party >= (parties := families.of(program.config).parties):
            raise ProgramError(
                f"the program is not for party {self.party}",
                why=f"its family, {program.config.protocol}, is one of {parties} parties",
                todo=f"start {parties} parties for it",
            )
        key = text_hash(text)
        if key not in self.placed:
            plan = build_plan(program, schedule, self.party, self.placement.products)
            self.placed[key] = Placed([plan], self.placement, program.config.prf)
            self.programs[key] = program
        return key

    def compile(self, program_hash: str) -> None:
        self.store.code(self.placed[program_hash])

    def close(self) -> None:
        """Nothing is run any more."""

    def unload(self, program_hash: str) -> None:
        """Its code goes once the store is full."""
        del self.placed[program_hash], self.programs[program_hash]

    def run(self, program_hash: str, channel: Any, mask_keys: MaskKeys, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return self.run_placed(self.placed[program_hash], channel, mask_keys, inputs)

    def run_placed(
        self, placed: Placed, channel: Any, mask_keys: MaskKeys, inputs: list[np.ndarray]
    ) -> list[np.ndarray]:
        """As `run`, of a program whatever became of its hash."""
        (plan,) = placed.plans
        check_inputs(plan, inputs)
        drawn = streams(plan, mask_keys, placed.prf, placed.inside)
        (held,) = Run(placed, self.store.code(placed), [drawn], Wire(channel))([inputs])
        return [np.asarray(a) for a in held]


def check_inputs(plan: Plan, inputs: Sequence[np.ndarray]) -> None:
    """Raises ProgramError for arrays that are not what a plan takes."""
    got = [(tuple(a.shape), a.dtype) for a in inputs]
    if got != list(plan.input_specs):
        raise ProgramError(
            "the pieces of the inputs do not fit the program",
            why=f"expected {len(plan.input_specs)} arrays of the program's shapes and dtypes",
            todo="send the pieces of the program's inputs, in order",
        )


class Wire:
    """Moves messages over a channel."""

    def __init__(self, channel: Any) -> None:
        self.channel, self.round_no = channel, 0

    def round(self, exchanges: Sequence[Exchange], stores: Sequence[Store]) -> None:
        (exchange,), (store,) = exchanges, stores
        received = self.channel.exchange(
            self.round_no,
            {peer: [np.asarray(store[m.array]) for m in messages] for peer, messages in exchange.sends.items()},
            {peer: [m.spec for m in messages] for peer, messages in exchange.receives.items()},
        )
        self.round_no += 1
        for peer, messages in exchange.receives.items():
            store.update(zip((m.array for m in messages), received[peer], strict=True))
