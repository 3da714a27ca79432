"""A client has digits classified by a model that it never sees, at three parties that see neither.

    python -m jmpc_examples.private_prediction [--images 1000] [--epochs 15] [--plot FILE]

The model owner trains a Flax network in the clear. Then three processes, over mutual TLS, run it on secret-shared
data: the model owner shares its weights once, the client shares its images, and the client alone learns the classes.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmpc
from jmpc_examples._digits import MLP, Digits, load, train
from jmpc_examples._progress import heading, say, track

BATCHES = 5
SINGLE_CALLS = 20


@jmpc.secure(inputs={"model": "model-owner", "pixels": "prediction-client"}, outputs="prediction-client")
def predict(model: MLP, pixels: jax.Array) -> jax.Array:
    """The class of each image. The division is work of the client alone: it is done before anything is shared."""
    return jnp.argmax(model(pixels / 255), axis=-1)


@jmpc.secure(inputs={"model": "model-owner"}, outputs=jmpc.SECRET)
def share(model: MLP) -> MLP:
    """The weights, left shared among the parties: the model owner is not needed after this."""
    return model


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
    training, test = load()
    test = test.head(options.images)

    heading("1. The model owner trains 784-128-128-10 with ReLU, in the clear")
    model = train(training, track(range(options.epochs), f"training on {len(training.labels):,} images"))
    clear = np.asarray(jnp.argmax(model(jnp.asarray(test.pixels / 255)), axis=-1))

    heading("2. Three processes, mutual TLS 1.3, compute on shares of the model and of the images")
    with jmpc.processes():
        result = classify(model, test, clear)
    report(result)

    if options.plot is not None:
        from jmpc_examples._picture import draw

        draw(result, options.plot)
        say(f"picture: {options.plot}")
    return result


def classify(model: MLP, test: Digits, clear: np.ndarray) -> Result:
    """Every test image in batches, then single images, as the client sees it."""
    weights = share.lower(model).cost().input_bytes
    model = share(model)
    batch = -(-len(test.labels) // BATCHES)
    starts = range(0, len(test.labels), batch)
    padded = np.pad(test.pixels, [(0, len(starts) * batch - len(test.labels)), (0, 0)])
    for count in track((batch, 1), "compiling for a batch and for one image"):
        predict(model, padded[:count])

    private, seconds = [], 0.0
    for start in track(starts, f"classifying {len(test.labels):,} images, {batch} at a time"):
        began = time.perf_counter()
        private.append(np.asarray(predict(model, padded[start : start + batch])))
        seconds += time.perf_counter() - began
    run: Any = predict.last_run
    cost = predict.lower(model, padded[:batch]).cost()

    return Result(
        test,
        clear,
        np.concatenate(private)[: len(test.labels)],
        run.rounds,
        tuple(len(starts) * n for n in run.bytes_sent),
        tuple(w + len(starts) * (n - w) for n, w in zip(cost.input_bytes, weights, strict=True)),
        tuple(len(starts) * n for n in cost.bytes_received),
        statistics.median(_seconds_for_one(model, test, n) for n in range(SINGLE_CALLS)) * 1e3,
        len(starts) * batch / seconds,
    )


def _seconds_for_one(model: MLP, test: Digits, call: int) -> float:
    row = call % len(test.labels)
    began = time.perf_counter()
    predict(model, test.pixels[row : row + 1])
    return time.perf_counter() - began


def report(result: Result) -> None:
    total = len(result.test.labels)
    heading("3. What the client learned: the classes, and nothing else")
    say(f"accuracy in the clear   {result.accuracy_clear:.1%}")
    say(f"accuracy in private     {result.accuracy_private:.1%}")
    say(f"classes that agree      {result.agree:,} of {total:,}")

    heading("4. What it cost")
    say(f"rounds of a batch       {result.rounds}")
    say(f"sent by party 0, 1, 2   {', '.join(map(size, result.bytes_sent))} for {total:,} images")
    say(f"one image               {result.ms_for_one:.1f} ms, from pixels to class")
    say(f"in batches              {result.images_per_second:,.0f} images a second")

    heading("5. What each party saw")
    for party, (shares, messages) in enumerate(zip(result.inputs, result.received, strict=True)):
        say(f"party {party}   {size(shares)} of shares from the owners, {size(messages)} of messages from its peers")
    say("All of it is drawn or masked with keys that this party does not have: to it, uniformly random.")
    say("No party saw a pixel, a weight, an activation or a class. The result left in three masked parts,")
    say("one from each party, and only the client has all three.")
    say("Public to all: the program, the shapes (so the layers' sizes and the batch), rounds and bytes.")
    say("In this demonstration one process plays both owners; the three parties are processes of their own.")


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
