"""The demonstration, small: it trains, runs at three processes, agrees with the clear, and draws its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jmpc_examples.private_prediction import Result, main

IMAGES = 5  # batches of one, so that one program is compiled
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("picture") / "digits.png"


@pytest.fixture(scope="module")
def result(picture: Path) -> Result:
    return main(["--images", str(IMAGES), "--epochs", "2", "--plot", str(picture)])


def test_the_client_learns_the_classes_that_the_clear_model_gives(result: Result) -> None:
    assert result.private.shape == (IMAGES,)
    assert np.array_equal(result.private, result.clear)
    assert result.agree == IMAGES
    assert result.accuracy_private == result.accuracy_clear > 0.5


def test_the_costs_add_up(result: Result) -> None:
    assert result.rounds > 0
    assert sum(result.bytes_sent) == sum(result.received)
    assert result.inputs[0] < result.inputs[1] == result.inputs[2]  # party 0 draws both of its summands of an image
    assert result.ms_for_one > 0
    assert result.images_per_second > 0


def test_the_picture_is_drawn(result: Result, picture: Path) -> None:
    data = picture.read_bytes()
    assert data.startswith(PNG)
    assert len(data) > 20_000


@pytest.mark.parametrize("wrong", [["--images", "0"], ["--images", "1001"], ["--epochs", "0"]])
def test_options_out_of_range_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(wrong)
    assert "--images goes from 1 to 1000" in capsys.readouterr().err
