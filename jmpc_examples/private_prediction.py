"""A client has digits classified by a model that it never sees, at three parties that see neither.

    jmpc demo [--images 1000] [--epochs 15] [--plot FILE]

The model owner trains a Flax network in the clear and stores it at a cluster, shared among its three parties: services
of their own, which only run what they allow. It says which program may read the model, and leaves. The client then
shares its images, and it alone learns the classes. Here all of them run on this machine, and are gone at the end.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jmpc
from jmpc.api import Compiled, Lowered
from jmpc.client.cluster import Cluster
from jmpc.daemon.trial import Trial, trial
from jmpc_examples._digits import MLP, Digits, load, train
from jmpc_examples._progress import heading, say, track

BATCHES = 5
SINGLE_CALLS = 20
OWNER, CLIENT = "model-owner", "prediction-client"
MODEL = "digits"  # what it is called at the cluster
STRUCTURE = nnx.eval_shape(lambda: MLP(nnx.Rngs(0)))  # of the model: layers and shapes, which are public


@jmpc.secure(inputs={"model": OWNER, "pixels": CLIENT}, outputs=CLIENT)
def predict(model: MLP, pixels: jax.Array) -> jax.Array:
    """The class of each image. The division is work of the client alone: it is done before anything is shared."""
    return jnp.argmax(model(pixels / 255), axis=-1)


@dataclass(frozen=True)
class Result:
    """What the demonstration found. clear, private: predicted classes; bytes_sent, inputs, received: by party, for all
    images; rounds: of one batch."""

    test: Digits
    clear: np.ndarray
    private: np.ndarray
    rounds: int
    bytes_sent: tuple[int, ...]
    inputs: tuple[int, ...]
    received: tuple[int, ...]
    ms_for_one: float
    images_per_second: float

    @property
    def accuracy_clear(self) -> float:
        return float(np.mean(self.clear == self.test.labels))

    @property
    def accuracy_private(self) -> float:
        return float(np.mean(self.private == self.test.labels))

    @property
    def agree(self) -> int:
        return int(np.sum(self.clear == self.private))


def main(argv: Sequence[str] | None = None) -> Result:
    options = _options(argv)
    with trial([OWNER, CLIENT], wait=False) as cluster:
        return demonstrate(cluster, options.images, options.epochs, options.plot)


def demonstrate(cluster: Trial, images: int, epochs: int, plot: Path | None = None) -> Result:
    """cluster: of the model owner and the client; it may still be starting."""
    heading("1. Three parties start: services with keys, certificates and a store of their own")
    say(f"a cluster in {cluster.folder}")
    training, test = load()
    test = test.head(images)

    heading("2. Meanwhile the model owner trains 784-128-128-10 with ReLU, in the clear")
    model = train(training, track(range(epochs), f"training on {len(training.labels):,} images"))
    clear = np.asarray(nnx.jit(predict.function)(model, test.pixels))

    cluster.wait()
    owner, client = (jmpc.connect(cluster.folder, identity=name) for name in (OWNER, CLIENT))
    batch = -(-len(test.labels) // BATCHES)
    store(owner, model)
    programs = {count: lowered(client, count) for count in (batch, 1)}
    consent(owner, programs)

    heading("4. The client shares its images, and learns the classes")
    with client:
        result = classify(test, clear, batch, programs)
    report(result)

    if plot is not None:
        from jmpc_examples._picture import draw

        draw(result, plot)
        say(f"picture: {plot}")
    return result


def store(owner: Cluster, model: MLP) -> None:
    """The model owner's part: it shares the model."""
    heading("3. The model owner shares its model, says what may read it, and leaves")
    entry = owner.put(model, name=MODEL)
    say(f"stored as {entry.name!r}: {len(entry.shapes)} arrays, of which each party has two of three random summands")


def lowered(client: Cluster, count: int) -> Lowered:
    """What the client will run, on so many images at once. It needs to know what is stored, and nobody's numbers."""
    return predict.lower(client.stored(MODEL, STRUCTURE), np.zeros((count, 784), np.float32))


def consent(owner: Cluster, programs: Mapping[int, Lowered]) -> None:
    """The model owner allows the programs that may read its model, by their hashes, and leaves."""
    for count, program in programs.items():
        owner.consent(MODEL, program)
        said = f"program {program.program_hash[:12]}, for {count:,} at once"
        say(f"{said}, may read it; the client alone learns the result")
    owner.close()


def classify(test: Digits, clear: np.ndarray, batch: int, programs: Mapping[int, Lowered]) -> Result:
    """Every test image in batches, then single images, as the client sees it."""
    model = jmpc.stored(MODEL, STRUCTURE)
    starts = range(0, len(test.labels), batch)
    padded = np.pad(test.pixels, [(0, len(starts) * batch - len(test.labels)), (0, 0)])
    compiled = {
        count: programs[count].compile() for count in track((batch, 1), "compiling for a batch and for one image")
    }
    for count, run in compiled.items():
        run(model, padded[:count])

    private, seconds = [], 0.0
    for start in track(starts, f"classifying {len(test.labels):,} images, {batch} at a time"):
        began = time.perf_counter()
        private.append(np.asarray(compiled[batch](model, padded[start : start + batch])))
        seconds += time.perf_counter() - began
    stats: Any = compiled[batch].last_run
    cost = programs[batch].cost()

    return Result(
        test,
        clear,
        np.concatenate(private)[: len(test.labels)],
        stats.rounds,
        tuple(len(starts) * n for n in stats.bytes_sent),
        _shares(model, programs, batch, len(starts)),
        tuple(len(starts) * n for n in cost.bytes_received),
        statistics.median(_seconds_for_one(compiled[1], model, test, n) for n in range(SINGLE_CALLS)) * 1e3,
        len(starts) * batch / seconds,
    )


def _shares(model: Any, programs: Mapping[int, Lowered], batch: int, batches: int) -> tuple[int, ...]:
    """Bytes that each party got from the owners: shares of the model once, as it holds them, which is what is the same
    for any number of images; and batch by batch keys and shares of the images."""
    more = max(batch, 2)
    larger = programs[batch] if batch == more else predict.lower(model, np.zeros((more, 784), np.float32))
    costs = programs[1].cost(), larger.cost(), programs[batch].cost()
    rows = zip(costs[0].input_bytes, costs[1].input_bytes, costs[2].upload_bytes, strict=True)
    return tuple((more * one - all_) // (more - 1) + batches * sent for one, all_, sent in rows)


def _seconds_for_one(run: Compiled, model: Any, test: Digits, call: int) -> float:
    row = call % len(test.labels)
    began = time.perf_counter()
    run(model, test.pixels[row : row + 1])
    return time.perf_counter() - began


def report(result: Result) -> None:
    total = len(result.test.labels)
    heading("5. What the client learned: the classes, and nothing else")
    say(f"accuracy in the clear   {result.accuracy_clear:.1%}")
    say(f"accuracy in private     {result.accuracy_private:.1%}")
    say(f"classes that agree      {result.agree:,} of {total:,}")

    heading("6. What it cost")
    say(f"rounds of a batch       {result.rounds}")
    say(f"sent by party 0, 1, 2   {', '.join(map(size, result.bytes_sent))} for {total:,} images")
    say(f"one image               {result.ms_for_one:.1f} ms, from pixels to class")
    say(f"in batches              {result.images_per_second:,.0f} images a second")

    heading("7. What each party saw")
    for party, (shares, messages) in enumerate(zip(result.inputs, result.received, strict=True)):
        say(f"party {party}   {size(shares)} of shares from the owners, {size(messages)} of messages from its peers")
    say("All of it is drawn or masked with keys that this party does not have: to it, uniformly random.")
    say("No party saw a pixel, a weight, an activation or a class. The result left in three masked parts,")
    say("one from each party, and only the client has all three.")
    say("Public to all: the program, the shapes (so the layers' sizes and the batch), rounds and bytes.")
    say("Here one process plays both clients, and one machine is everybody's; the parties are three services.")


def size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="private_prediction", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="test images, 1 to 1000 (default 1000)")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the training images (default 15)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a PNG of digits, predictions and cost")
    options = parser.parse_args(argv)
    if not 1 <= options.images <= 1000 or options.epochs < 1:
        parser.error("--images goes from 1 to 1000, --epochs from 1")
    return options


if __name__ == "__main__":
    main()
