"""Drawn pictures: always the same, and statistically like photographs."""

import numpy as np
import pytest
from pydantic import ValidationError

from rvdtool.research.dataset.leaves import SIZE, draw_leaves
from rvdtool.research.dataset.recipe import Source
from rvdtool.research.dataset.scene import SourceFolders, load_still, require_sources

LEAVES = Source(kind="leaves", seed=3, shrink=2)


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return load_still(LEAVES, SourceFolders(()))


def test_leaves_are_drawn_from_their_seed_and_need_no_file(drawn: np.ndarray) -> None:
    require_sources([LEAVES], SourceFolders(()))
    assert drawn.shape == (SIZE[0] // 2, SIZE[1] // 2, 3)
    assert drawn.dtype == np.float32
    np.testing.assert_array_equal(drawn, load_still(LEAVES, SourceFolders(())))
    other = load_still(Source(kind="leaves", seed=4, shrink=2), SourceFolders(()))
    assert np.abs(drawn - other).mean() > 0.05


def test_leaves_have_the_light_and_the_spectrum_of_photographs() -> None:
    image = draw_leaves(0)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert 0.02 < np.median(image) < 0.5
    assert 1 < image.max() < 20  # some lights beyond white
    grey = np.log(image.mean(axis=2) + 0.01)
    power = np.abs(np.fft.rfft(grey - grey.mean(), axis=1)) ** 2
    power = power.mean(axis=0)[1:]
    frequency = np.arange(1, len(power) + 1)
    band = (frequency > 4) & (frequency < 200)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert -2.5 < slope < -1  # photographs: about -2 in amplitude squared


def test_leaves_out_of_focus_lose_their_edges_and_keep_their_light(drawn: np.ndarray) -> None:
    soft = load_still(LEAVES.model_copy(update={"defocus": 3.0}), SourceFolders(()))
    assert abs(soft.mean() / drawn.mean() - 1) < 0.02

    def steepest(image: np.ndarray) -> float:
        return float(np.quantile(np.abs(np.diff(image.mean(axis=2), axis=1)), 0.999))

    assert steepest(soft) < 0.3 * steepest(drawn)


@pytest.mark.parametrize("fields", [{"kind": "photo"}, {"kind": "leaves", "path": "a.jpg"}])
def test_files_belong_to_all_other_kinds(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="path"):
        Source.model_validate(fields)
