"""Segments compiled by XLA: each distinct one once, kept on disk, and in the process as long as a plan needs it.

What goes in: plans. What comes out: for each segment, or for the three segments of a step where one process runs all
parties, an executable that takes mask buffers and arrays; or, where masks are drawn inside, keys and places. Compiles
run side by side in threads. Nothing here knows whose keys they are or how messages travel.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import jax
import numpy as np

from jmpc import _jax
from jmpc.executors.cache import CodeFolder, OpenCache, opened
from jmpc.ir.plan import Plan, Segment
from jmpc.ring import chacha

Executable = Any
HEAVY_WORK = 1 << 22

# XLA:CPU's fusion emitters make code about twice as fast and take twice as long about it (the choice is JAX 0.10's).
# Segments compile side by side, each in one part: in parts they take a quarter more time and six times the mappings.
_HEAVY = {"xla_backend_optimization_level": 1, "xla_cpu_parallel_codegen_split_count": 1}
_LIGHT = {**_HEAVY, "xla_cpu_use_fusion_emitters": False}

_lock = threading.Lock()

Group = tuple[Segment | None, ...]
Key = tuple[tuple[str, ...], bool]


@dataclass(frozen=True, eq=False)
class Code:
    """One executable."""

    call: Executable = field(repr=False)


KEPT = 1024  # of plans that are gone; each takes about 6 of the 65,530 memory mappings that Linux gives a process
_compiled: WeakValueDictionary[Key, Code] = WeakValueDictionary()
_recent: deque[Code] = deque(maxlen=KEPT)
_needed: WeakKeyDictionary[Plan, dict[tuple[int, bool], list[Code]]] = WeakKeyDictionary()


def groups(plans: Sequence[Plan]) -> Iterator[Group]:
    """What runs in one go: the segments of each step, of all the parties here; bodies of loops included."""
    for steps in zip(*(p.steps for p in plans), strict=True):
        for loops in zip(*(s.loops for s in steps), strict=True):
            yield from groups([lp.body for lp in loops])
        yield tuple(s.segment for s in steps)


def compile_plans(plans: Sequence[Plan], folder: CodeFolder | None = None, inside: bool = False) -> None:
    """Compile what is not compiled yet, for plans that run in lock step: one party's, or three.

    folder: where compiled code is kept. inside: masks are drawn in the segments. Raises whatever XLA raises, and
    ConfigError for a folder that cannot be used."""
    needed, what = _needed.setdefault(plans[0], {}), (len(plans), inside)
    if what in needed:
        return
    with _lock:
        by_key = {(_key(g), inside): g for g in groups(plans) if any(g)}
        held = {key: code for key in by_key if (code := _compiled.get(key))}
        held |= _compile_all({key: g for key, g in by_key.items() if key not in held}, folder)
        _compiled.update(held)
        needed[what] = list(held.values())


def _compile_all(todo: dict[Key, Group], folder: CodeFolder | None) -> dict[Key, Code]:
    if not todo:
        return {}
    with opened(folder) as kept, ThreadPoolExecutor(max(os.cpu_count() or 1, 1)) as pool:
        device = pool.submit(_jax.default_device).result()  # theirs: jax.default_device is the caller's thread's alone
        about = common_text([device]) if kept else ""

        def make(key: Key) -> Code:
            name = hashlib.sha256(f"{about}\n{key}".encode()).hexdigest()
            return Code(_made(Work.of(todo[key], key[1]), device, kept, name))

        found = dict(zip(todo, pool.map(make, todo), strict=True))
    _recent.extend(found.values())
    return found


def common_text(devices: Sequence[Any]) -> str:
    """What decides the code of all segments alike: JAX and the machine, and our own way from a segment to XLA."""
    return f"{_jax.platform_text(devices)}\n{_SOURCES}\n{_HEAVY} {_LIGHT} {HEAVY_WORK}"


def _sources() -> str:
    """A hash of the files that turn segments into programs, so that a change of theirs leaves old code behind."""
    root = Path(_jax.__file__).parent
    files = [
        root / "_jax.py",
        *(path for part in ("executors", "party", "ring") for path in (root / part).glob("*.py")),
    ]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


_SOURCES = _sources()  # as they are imported, not as they are when the first segment is compiled


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
        return cls(run, arguments, sum(len(s.outputs) for s in members), sum(s.work for s in members))


def _made(work: Work, device: Any, kept: OpenCache | None, name: str) -> Executable:
    """The executable of a group, off the disk or compiled."""
    if kept and (code := kept.read(name)) and (found := _jax.loaded(code, work.arguments, work.results, [device])):
        return found
    options = compiler_options(work.size, device.platform)
    with _jax.x64():
        made = jax.jit(work.run, keep_unused=True).lower(*work.arguments).compile(compiler_options=options)
    if kept and (code := _jax.code_of(made)):
        kept.write(name, code)
    return made


def executable(group: Group, inside: bool = False) -> Executable:
    """Takes the mask arguments of each segment in turn, then the arrays of each; returns the results of each."""
    return _compiled[_key(group), inside].call


def compiler_options(work: int, platform: str) -> dict[str, Any]:
    """XLA's options for code that does about `work` elementary operations."""
    if platform != "cpu":
        return {}
    return _jax.known_options(_HEAVY if work >= HEAVY_WORK else _LIGHT)


def _key(group: Group) -> tuple[str, ...]:
    return tuple(s.key if s else "" for s in group)


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
