"""The mesh executor: all parties as one XLA program, each on a device of this process.

What goes in: the plans of all parties and what each party holds of the inputs. What comes out: what each holds of the
outputs, and the rounds and bytes of the plans. The results are the same bits as in the local executor from the same
keys.

The masks are words of whole streams, drawn before the program starts, or by ChaCha20 at its start: they take as much
memory on a device as the program draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jmpc import _jax, _typed
from jmpc._types import AnyArray, Array
from jmpc.errors import ConfigError
from jmpc.executors.cache import CodeFolder, OpenCache, opened
from jmpc.executors.local import fresh_keys
from jmpc.executors.masks import InsideStream, Stream
from jmpc.executors.mesh_program import AXIS, Scope
from jmpc.executors.run import Counts, judge
from jmpc.executors.segment import Placed, compiler_options, groups
from jmpc.ir.plan import Plan
from jmpc.party.report import cost_report
from jmpc.ring import chacha
from jmpc.ring.keys import MaskKeys

Held = list[list[np.ndarray]]


class MeshProgram:
    """The plans of all parties, compiled for a device each: those of their placement."""

    def __init__(self, placed: Placed, folder: CodeFolder | None = None) -> None:
        plans, self.placement = placed.plans, placed.placement
        if fault := _unfit(plans, len(self.placement.devices)):
            raise ConfigError(
                "the mesh executor cannot run this family of protocols",
                where="jmpc.mesh()",
                why=fault,
                todo="use the local executor, or processes",
            )
        self.prf, self.inside, self.devices = placed.prf, placed.inside, placed.placement.devices
        self.sharding = NamedSharding(Mesh(np.array(self.devices), (AXIS,)), PartitionSpec(AXIS))
        self.parties = len(plans)
        self.words = {
            step: max(p.mask_words[(p.party + step) % self.parties] for p in plans) for step in range(1, self.parties)
        }
        report = cost_report(plans, "local")
        self.rounds, self.bytes_sent = report.rounds, report.bytes_sent
        work = sum(s.work for group in groups(plans) for s in group if s is not None)
        with _jax.x64(), opened(folder) as kept:
            self.executable = self._made(plans, compiler_options(work, self.placement), kept)

    def _made(self, plans: Sequence[Plan], options: dict[str, Any], kept: OpenCache | None) -> Any:
        """The executable, off the disk or compiled: there is one program, which is named by its text."""
        lowered, arguments = self._lower(plans)
        about = (self.placement.text(), options, lowered.as_text()) if kept else ()
        name = hashlib.sha256(repr(about).encode()).hexdigest()
        if kept and (code := kept.read(name)):
            found = _jax.loaded(code, arguments, len(plans[0].outputs) + 1, self.devices)
            if found:
                return found
        made = lowered.compile(compiler_options=options)
        if kept and (code := _jax.code_of(made)):
            kept.write(name, code)
        return made

    def _lower(self, plans: Sequence[Plan]) -> tuple[Any, list[Any]]:
        words, inside = self.words, self.inside

        def party(drawn: list[Array], inputs: list[Array]) -> list[Array]:
            local = [a[0] for a in drawn]
            if inside:
                local = chacha.ranges(list(local[0]), [0] * len(words), list(words.values()))
            scope = Scope(jax.lax.axis_index(AXIS), dict(zip(words, local, strict=True)), dict.fromkeys(words, 0))
            results = scope.run(plans, [a[0] for a in inputs])
            return [a[None] for a in (*results, scope.passed)]

        spec = self.sharding.spec
        spmd = jax.shard_map(party, mesh=self.sharding.mesh, in_specs=spec, out_specs=spec, check_vma=False)
        drawn = [((len(words), 8), np.uint32)] if inside else [((n,), np.uint64) for n in words.values()]
        arguments = [[self._argument(*s) for s in specs] for specs in (drawn, plans[0].input_specs)]
        return _typed.lowered(spmd, arguments), arguments

    def _argument(self, shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((self.parties, *shape), dtype, sharding=self.sharding)

    def run(self, inputs: Sequence[Sequence[AnyArray]], keys: Sequence[MaskKeys]) -> tuple[Held, Counts]:
        """One session. keys: each party's."""
        with _jax.x64():
            drawn = self._keys(keys) if self.inside else self._drawn(keys)
            results = self.executable(self._spread(drawn), self._spread(inputs))
            held = [[np.asarray(self._shard(a, d))[0] for a in results] for d in self.devices]
        judge(mine.pop() for mine in held)
        return held, Counts(self.rounds, list(self.bytes_sent))

    def _spread(self, held: Sequence[Sequence[AnyArray]]) -> list[Array]:
        """What each party holds, put on its device: one global array for each position."""
        placed = [
            _typed.device_put([np.asarray(a)[None] for a in arrays], d)
            for arrays, d in zip(held, self.devices, strict=True)
        ]
        return [
            jax.make_array_from_single_device_arrays((self.parties, *row[0].shape[1:]), self.sharding, list(row))
            for row in zip(*placed, strict=True)
        ]

    @staticmethod
    def _shard(array: Array, device: Any) -> Array:
        return next(s.data for s in array.addressable_shards if s.device == device)

    def _keys(self, keys: Sequence[MaskKeys]) -> list[list[np.ndarray]]:
        return [[np.stack([InsideStream(key).key for key in self._ahead(keys, p)])] for p in range(self.parties)]

    def _ahead(self, keys: Sequence[MaskKeys], party: int) -> list[bytes]:
        """A party's keys, in the order of how far ahead the peer is."""
        return [keys[party][(party + step) % self.parties] for step in self.words]

    def _drawn(self, keys: Sequence[MaskKeys]) -> list[list[np.ndarray]]:
        """The words of every stream, from the start. Both ends of a key read the same array."""
        most = max(self.words.values())
        drawn = {key: Stream(key, most, self.prf).words(0, most) for own in keys for key in (own[p] for p in own.peers)}
        return [
            [drawn[key][:count] for key, count in zip(self._ahead(keys, p), self.words.values(), strict=True)]
            for p in range(self.parties)
        ]


def _unfit(plans: Sequence[Plan], devices: int) -> str:
    """Why plans cannot be one program with a device for each party, or ""."""
    if len(plans) != devices:
        return f"each party has a device of its own: it has {len(plans)} of them, and the mesh {devices} devices"
    if any((p.input_specs, p.output_specs) != (plans[0].input_specs, plans[0].output_specs) for p in plans):
        return "its parties hold different arrays of a value, and here one program says what all of them hold"
    return ""


def run_mesh(
    placed: Placed, inputs: Sequence[Sequence[Any]], keys: Sequence[MaskKeys] | None = None
) -> tuple[Held, Counts]:
    """Compile, and run all parties once, each on a device. keys: only tests pass them, to compare executors."""
    return MeshProgram(placed).run(inputs, keys or fresh_keys(len(placed.plans)))
