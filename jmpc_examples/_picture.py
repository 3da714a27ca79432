"""The demonstration as a picture: digits with the classes that the client learned, and what they cost.

What goes in: the `Result` of private_prediction. What comes out: a PNG file, drawn without a screen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ROWS, COLUMNS = 5, 8
INK, GREY, GOOD, BAD = "#1f2933", "#7b8794", "#1b7f4b", "#c62828"
SHARES, MESSAGES = "#9fb3c8", "#2f6fab"


def draw(result: Any, path: Path) -> None:
    figure = Figure(figsize=(12.5, 6.6), dpi=150, facecolor="white")
    figure.text(0.035, 0.935, "Digits classified in private", fontsize=19, weight="bold", color=INK)
    subtitle = "The client alone learned these classes. The three parties saw uniformly random words."
    figure.text(0.035, 0.89, subtitle, fontsize=11, color=GREY)
    left = figure.add_gridspec(ROWS, COLUMNS, left=0.035, right=0.585, top=0.83, bottom=0.03, hspace=0.42, wspace=0.12)
    for place, row in enumerate(_shown(result)):
        _digit(figure.add_subplot(left[place // COLUMNS, place % COLUMNS]), result, row)
    right = figure.add_gridspec(
        2, 1, left=0.69, right=0.975, top=0.83, bottom=0.11, height_ratios=(1.25, 1), hspace=0.3
    )
    _figures(figure.add_subplot(right[0]), result)
    _traffic(figure.add_subplot(right[1]), result)
    FigureCanvasAgg(figure).print_png(str(path))


def _shown(result: Any) -> list[int]:
    """Test images in order, the last row kept for wrong ones, where there are any."""
    right = result.private == result.test.labels
    wrong = [int(n) for n in np.flatnonzero(~right)][:COLUMNS]
    fine = [int(n) for n in np.flatnonzero(right)]
    return (fine[: ROWS * COLUMNS - len(wrong)] + wrong)[: ROWS * COLUMNS]


def _digit(axes: Any, result: Any, row: int) -> None:
    said, label = int(result.private[row]), int(result.test.labels[row])
    axes.imshow(result.test.pixels[row].reshape(28, 28), cmap="gray_r", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set(color="#d9e2ec" if said == label else BAD)
    text = f"{said}" if said == label else f"{said}, is {label}"
    axes.set_title(text, fontsize=11, weight="bold", color=GOOD if said == label else BAD, pad=3)


def _figures(axes: Any, result: Any) -> None:
    total = len(result.test.labels)
    rows = (
        (f"{result.accuracy_private:.1%}", f"right in private, {result.accuracy_clear:.1%} in the clear"),
        (f"{result.agree:,}", f"of {total:,} classes agree with the clear"),
        (f"{result.ms_for_one:.1f} ms", "for one image, pixels to class"),
        (f"{result.images_per_second:,.0f}", "images a second, in batches"),
        (f"{result.rounds}", "rounds of messages for a batch"),
    )
    axes.set_axis_off()
    for place, (value, meaning) in enumerate(rows):
        height = 0.93 - place * 0.215
        options = {"transform": axes.transAxes, "va": "center"}
        axes.text(0.16, height, value, fontsize=17, weight="bold", color=INK, ha="right", **options)
        axes.text(0.2, height, meaning, fontsize=11, color=GREY, **options)


def _traffic(axes: Any, result: Any) -> None:
    shares, messages = (np.array(n) / 1e6 for n in (result.inputs, result.received))
    names = [f"party {n}" for n in range(3)]
    axes.barh(names, shares, color=SHARES, height=0.55, label="shares from owners")
    axes.barh(names, messages, left=shares, color=MESSAGES, height=0.55, label="messages from peers")
    for place, total in enumerate(shares + messages):
        axes.text(total, place, f"  {total:.1f}", va="center", color=INK, fontsize=10)
    axes.invert_yaxis()
    axes.set_xlim(0, max(shares + messages) * 1.18)
    axes.set_xlabel(f"MB seen by each party, {len(result.test.labels):,} images", color=GREY, fontsize=10)
    axes.tick_params(colors=INK, length=0, labelsize=10)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#d9e2ec")
    spot = {"loc": "lower left", "bbox_to_anchor": (-0.03, 1.0), "ncol": 2, "columnspacing": 1.2, "handlelength": 1.2}
    axes.legend(frameon=False, fontsize=9.5, labelcolor=INK, **spot)
