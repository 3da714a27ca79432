"""Segments as programs for XLA: those that run in one go, side by side, and the options that they are compiled with.

What goes in: plans at a placement. What comes out: for each segment, or for the segments of a step where one process
runs all parties, a function that takes mask buffers and arrays; or, where masks are drawn inside, keys and places.
Nothing here knows whose keys they are or how messages travel, and nothing is compiled here (`code_store.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from jmpc import _jax
from jmpc.config import AES
from jmpc.executors.placement import Placement
from jmpc.ir.plan import Plan, Segment
from jmpc.ring import chacha

HEAVY_WORK = 1 << 22
SMALL_WORK = 1 << 14
# By then quick code has lost about as much time as better code takes to compile: some 0.5 ns an operation, 0.25 s.
QUICK_WORK = 1 << 29

# XLA:CPU's fusion emitters make code about twice as fast and take twice as long about it (the choice is JAX 0.10's).
# Segments compile side by side, each in one part: in parts they take a quarter more time and six times the mappings.
_HEAVY = {"xla_backend_optimization_level": 1, "xla_cpu_parallel_codegen_split_count": 1}
_LIGHT = {**_HEAVY, "xla_cpu_use_fusion_emitters": False}
# Without LLVM's passes: a tenth to two fifths less time to compile, and to run up to a half more, or some microseconds
# where little is computed.
_QUICK = {**_LIGHT, "xla_backend_optimization_level": 0}

Group = tuple[Segment | None, ...]
Names = tuple[str, ...]  # of the segments of a group


@dataclass(frozen=True, eq=False)
class Placed:
    """The plans of one party, or of all, which run in lock step then, at a placement. prf: what draws their masks."""

    plans: Sequence[Plan]
    placement: Placement
    prf: str = AES

    @classmethod
    def here(cls, plans: Sequence[Plan], prf: str = AES) -> Placed:
        return cls(plans, Placement.here(), prf)

    @property
    def inside(self) -> bool:
        """Whether masks are drawn in the segments."""
        return self.placement.draws_inside(self.prf)

    @cached_property
    def groups(self) -> dict[Names, Group]:
        """What is to be compiled."""
        return {names_of(g): g for g in groups(self.plans) if any(g)}

    @cached_property
    def work(self) -> dict[Names, int]:
        """About how many elementary operations each of its groups does in a run."""
        done: dict[Names, int] = dict.fromkeys(self.groups, 0)
        for group, times in _passes(self.plans, 1):
            if any(group):
                done[names_of(group)] += times * work_of(group)
        return done

    @cached_property
    def keys(self) -> list[str]:
        """All that decides the code of each of its groups, in this process; texts, whose hashes Python keeps."""
        return [f"{names}, inside {self.inside}, {self.placement}" for names in self.groups]


def groups(plans: Sequence[Plan]) -> Iterator[Group]:
    """What runs in one go: the segments of each step, of all the parties here; bodies of loops included."""
    return (group for group, _ in _passes(plans, 1))


def _passes(plans: Sequence[Plan], times: int) -> Iterator[tuple[Group, int]]:
    """And how often each of them runs."""
    for steps in zip(*(p.steps for p in plans), strict=True):
        for loops in zip(*(s.loops for s in steps), strict=True):
            yield from _passes([lp.body for lp in loops], times * loops[0].trip)
        yield tuple(s.segment for s in steps), times


def work_of(group: Group) -> int:
    return sum(s.work for s in group if s is not None)


def names_of(group: Sequence[Segment | None]) -> Names:
    """Equal for groups that compile to the same code."""
    return tuple(s.key if s else "" for s in group)


@dataclass(frozen=True)
class Work:
    """One program for XLA: the segments of a group side by side. results: how many arrays it returns."""

    run: Callable[..., list[Any]]
    arguments: list[jax.ShapeDtypeStruct]
    results: int
    size: int

    @classmethod
    def of(cls, group: Group, inside: bool) -> Work:
        members = [s for s in group if s is not None]
        run, arguments = together(members, inside)
        return cls(run, arguments, sum(len(s.outputs) for s in members), work_of(group))


def options_text() -> str:
    """All of these options and what chooses among them."""
    return f"{_HEAVY} {_LIGHT} {_QUICK} {HEAVY_WORK} {SMALL_WORK}"


def may_be_quick(work: int, placement: Placement) -> bool:
    """Whether code that does so much is compiled quickly at first, and better once it has run for long."""
    return placement.on_cpu and not placement.spread and SMALL_WORK <= work < HEAVY_WORK


def compiler_options(work: int, placement: Placement, quick: bool = False) -> dict[str, Any]:
    """XLA's options for code that does about `work` elementary operations. quick: for the time being."""
    if not placement.on_cpu:
        return {}
    return _jax.known_options(_QUICK if quick or work < SMALL_WORK else _LIGHT if work < HEAVY_WORK else _HEAVY)


def together(members: Sequence[Segment], inside: bool) -> tuple[Callable[..., list[Any]], list[jax.ShapeDtypeStruct]]:
    """The segments side by side, as one function of flat arguments, and the shapes of these."""
    masks = [a for s in members for r in s.masks for a in _mask_arguments(r.count, inside)]
    arrays = [jax.ShapeDtypeStruct(shape, dtype) for s in members for shape, dtype in s.input_specs]
    runs = [_with_masks(s) if inside else s.run for s in members]
    per_range = 2 if inside else 1

    def run(*args: Any) -> list[Any]:
        results: list[Any] = []
        mask_at, at = 0, sum(per_range * len(s.masks) for s in members)
        for member, one in zip(members, runs, strict=True):
            masks = args[mask_at : mask_at + per_range * len(member.masks)]
            results += one(*masks, *args[at : at + len(member.inputs)])
            mask_at += len(masks)
            at += len(member.inputs)
        return results

    return run, masks + arrays


def _mask_arguments(count: int, inside: bool) -> list[jax.ShapeDtypeStruct]:
    """What a range of masks is to a compiled segment: its words, or a key and the place of the first word."""
    if not inside:
        return [jax.ShapeDtypeStruct((count,), np.uint64)]
    return [jax.ShapeDtypeStruct((8,), np.uint32), jax.ShapeDtypeStruct((), np.uint64)]


def _with_masks(segment: Segment) -> Callable[..., list[Any]]:
    """The segment with its masks drawn in front of it, all in one block function."""
    counts = [r.count for r in segment.masks]

    def run(*args: Any) -> list[Any]:
        keys, starts, arrays = args[: 2 * len(counts) : 2], args[1 : 2 * len(counts) : 2], args[2 * len(counts) :]
        words = chacha.ranges(keys, starts, counts) if counts else []
        return segment.run(*words, *arrays)

    return run
