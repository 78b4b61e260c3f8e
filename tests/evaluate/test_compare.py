"""Comparing two folders: how frames are paired, and what the mean covers."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from mlv_samples import random_mosaics, write_mlv
from small_clips import (
    BITS,
    BLACK,
    WHITE,
    disturbed,
    random_mosaic,
    small_frame,
    write_clip,
    write_pair,
)

from rvdtool.errors import InputError, MismatchError, UsageError
from rvdtool.evaluate.compare import compare, match_frames
from rvdtool.evaluate.metrics import score
from rvdtool.raw.dng import write_dng
from rvdtool.raw.frame import CfaPhase
from rvdtool.raw.mlv import read_mlv
from rvdtool.raw.read import MosaicLevels, read_raw
from rvdtool.raw.sequence import frame_name

LEVELS = MosaicLevels(BLACK, WHITE, CfaPhase.RGGB, BITS)


def write_tiffs(folder: Path, mosaics: list[np.ndarray]) -> Path:
    folder.mkdir()
    for index, mosaic in enumerate(mosaics):
        tifffile.imwrite(folder / f"{index:03d}.tiff", mosaic)
    return folder


def test_frames_are_matched_by_name(tmp_path: Path) -> None:
    predicted, true = write_pair(tmp_path)
    matching = match_frames(predicted, true)
    assert matching.by == "name"
    assert [pair.predicted.name for pair in matching.pairs] == [
        pair.true.name for pair in matching.pairs
    ]
    assert len(matching.pairs) == 4


def test_frames_with_other_names_are_matched_by_order(tmp_path: Path) -> None:
    predicted = write_clip(tmp_path / "p", [small_frame(random_mosaic(i)) for i in range(3)])
    true = write_tiffs(tmp_path / "t", [random_mosaic(i) for i in range(3)])
    matching = match_frames(predicted, true)
    assert matching.by == "order"
    result = compare(matching, levels=LEVELS)
    assert result.matched_by == "order"
    assert result.identical == 2


def test_a_missing_frame_is_named(tmp_path: Path) -> None:
    predicted, true = write_pair(tmp_path)
    lost = predicted / "clip_000002.dng"
    lost.unlink()
    with pytest.raises(MismatchError, match=re.escape(str(true / lost.name))) as error:
        match_frames(predicted, true)
    assert "has 3 RAW frames" in str(error.value)


def test_names_that_only_partly_agree_are_not_paired_by_order(tmp_path: Path) -> None:
    """Otherwise, frames numbered from 1 would be compared with their neighbours."""
    predicted, true = write_pair(tmp_path)
    for number in (3, 2, 1, 0):
        (predicted / f"clip_{number:06d}.dng").rename(predicted / f"clip_{number + 1:06d}.dng")
    with pytest.raises(MismatchError) as error:
        match_frames(predicted, true)
    assert str(predicted / "clip_000004.dng") in str(error.value)
    assert str(true / "clip_000000.dng") in str(error.value)


def test_different_counts_without_shared_names_name_a_few_files(tmp_path: Path) -> None:
    predicted = write_clip(tmp_path / "p", [small_frame(random_mosaic(0))] * 2)
    true = write_tiffs(tmp_path / "t", [random_mosaic(0)] * 5)
    with pytest.raises(MismatchError, match=r"clip_000000\.dng.* and 3 more"):
        match_frames(predicted, true)


def test_the_mean_is_over_all_frames_but_the_first(tmp_path: Path) -> None:
    predicted, true = write_pair(tmp_path)
    result = compare(match_frames(predicted, true))
    expected = [
        score(read_raw(predicted / path.name), read_raw(path)) for path in sorted(true.iterdir())
    ]
    assert [frame.scores for frame in result.frames] == expected
    assert [frame.counted for frame in result.frames] == [False, True, True, True]
    assert result.identical == 0
    assert result.mean.psnr == pytest.approx(np.mean([s.psnr for s in expected[1:]]))
    assert result.mean.ssim == pytest.approx(np.mean([s.ssim for s in expected[1:]]))
    assert result.mean.psnr_paper == pytest.approx(np.mean([s.psnr_paper for s in expected[1:]]))


def test_equal_frames_are_told_and_left_out_of_the_mean_psnr(tmp_path: Path) -> None:
    predicted, true = write_pair(tmp_path)
    matching = match_frames(predicted, true)
    without, with_first = compare(matching), compare(matching, include_first=True)
    assert with_first.frames[0].counted
    assert with_first.identical == 1
    assert with_first.mean.psnr == pytest.approx(without.mean.psnr)
    assert with_first.mean.ssim > without.mean.ssim


def test_the_mean_psnr_is_infinite_only_if_all_frames_are_equal(tmp_path: Path) -> None:
    _, true = write_pair(tmp_path)
    result = compare(match_frames(true, true))
    assert result.mean.psnr == math.inf
    assert result.identical == 3


def test_every_frame_is_counted_once_as_progress(tmp_path: Path) -> None:
    steps: list[int] = []
    compare(match_frames(*write_pair(tmp_path)), advance=steps.append)
    assert steps == [1, 1, 1, 1]


def test_tiffs_score_as_the_same_dngs_do(tmp_path: Path) -> None:
    predicted, true = write_pair(tmp_path)
    tiffs = [
        write_tiffs(tmp_path / f"{folder.name}_tiff", [read_raw(p).mosaic for p in files])
        for folder in (predicted, true)
        for files in [sorted(folder.iterdir())]
    ]
    expected = compare(match_frames(predicted, true))
    result = compare(match_frames(*tiffs), levels=LEVELS)
    assert result.mean == expected.mean


def test_tiffs_need_levels_and_dngs_refuse_them(tmp_path: Path) -> None:
    predicted, true = write_pair(tmp_path)
    with pytest.raises(UsageError, match="levels are only for plain mosaics"):
        compare(match_frames(predicted, true), levels=LEVELS)
    tiffs = write_tiffs(tmp_path / "t", [random_mosaic(i) for i in range(4)])
    with pytest.raises(UsageError, match=r"000\.tiff"):
        compare(match_frames(predicted, tiffs))


def test_one_frame_alone_has_no_mean_without_the_first(tmp_path: Path) -> None:
    matching = match_frames(*write_pair(tmp_path, count=1))
    with pytest.raises(UsageError, match="only frame"):
        compare(matching)
    assert compare(matching, include_first=True).mean.psnr == math.inf


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        (small_frame(random_mosaic(2, (32, 46))), "size 46×32 against 48×32"),
        (small_frame(random_mosaic(2), phase=CfaPhase.GBRG), "CFA phase GBRG against RGGB"),
        (small_frame(random_mosaic(2), white=4095), "white level 4095 against 4000"),
    ],
)
def test_frames_that_do_not_belong_together_are_named(
    tmp_path: Path, odd: object, told: str
) -> None:
    frames = [small_frame(random_mosaic(i)) for i in range(3)]
    true = write_clip(tmp_path / "true", frames)
    predicted = write_clip(tmp_path / "predicted", [*frames[:2], odd])  # type: ignore[list-item]
    with pytest.raises(MismatchError, match=told) as error:
        compare(match_frames(predicted, true))
    for folder in (predicted, true):
        assert str(folder / "clip_000002.dng") in str(error.value)


def test_a_damaged_frame_is_named(tmp_path: Path) -> None:
    predicted, true = write_pair(tmp_path)
    damaged = predicted / "clip_000002.dng"
    damaged.write_bytes(damaged.read_bytes()[:300])
    with pytest.raises(InputError, match=re.escape(str(damaged))):
        compare(match_frames(predicted, true))


def test_more_noise_scores_lower(tmp_path: Path) -> None:
    mosaic = random_mosaic(0)
    levels = (2, 20, 200)
    predicted = write_clip(
        tmp_path / "p", [small_frame(disturbed(mosaic, 1, by=by)) for by in levels]
    )
    true = write_clip(tmp_path / "t", [small_frame(mosaic)] * 3)
    scores = [frame.scores for frame in compare(match_frames(predicted, true)).frames]
    for name in ("psnr", "ssim", "psnr_paper", "ssim_paper"):
        values = [getattr(frame, name) for frame in scores]
        assert values == sorted(values, reverse=True)


def test_a_recording_is_a_ground_truth(tmp_path: Path) -> None:
    """Its frames are paired by order, or by the names that derender gives the frames of a video of
    that name."""
    mosaics = random_mosaics(3, (24, 32))
    recording = write_mlv(tmp_path / "M24-1337.mlv", mosaics)
    video = read_mlv(recording)
    for stem in ("clip", "M24-1337"):
        folder = tmp_path / stem
        folder.mkdir()
        for index in range(3):
            write_dng(video.read(index), folder / frame_name(stem, index))
    matching = match_frames(tmp_path / "clip", recording)
    assert matching.by == "order"
    assert match_frames(tmp_path / "M24-1337", recording).by == "name"
    assert [pair.true.name for pair in matching.pairs] == [
        f"M24-1337_{index:06d}.dng" for index in range(3)
    ]
    result = compare(matching)
    assert result.identical == 2
    (tmp_path / "clip" / frame_name("clip", 2)).unlink()
    with pytest.raises(MismatchError, match=r"M24-1337\.mlv, frame 0"):
        match_frames(tmp_path / "clip", recording)
