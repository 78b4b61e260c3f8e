"""Recipes become a folder in RVD's layout; finished videos are kept."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rvdtool.errors import InputError, OutputError, UsageError
from rvdtool.research.dataset.produce import ProduceOptions, produce
from rvdtool.research.dataset.recipe import Recipe
from rvdtool.research.dataset.rvd import open_rvd
from rvdtool.research.dataset.scene import SourceFolders
from rvdtool.research.dataset.simulate import Simulation

Make = Callable[..., Recipe]
SMALL = {"width": 64, "height": 48, "frames": 3}


def _make(
    recipes: Sequence[Recipe], folders: SourceFolders, root: Path, **options: bool
) -> list[str]:
    chosen = ProduceOptions(**options)  # type: ignore[arg-type]
    return [recipe.name for recipe in produce(recipes, folders, root, chosen)]


def _bytes(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_set_is_made_kept_and_the_same_every_time(
    recipe: Make, folders: SourceFolders, tmp_path: Path
) -> None:
    camera = {"kind": "camera"}
    recipes = [
        recipe(name="a", **SMALL, sensor={"phase": "BGGR", "black": 100.5}),
        recipe(name="b", **SMALL, isp=camera, codec={"kind": "hevc", "crf": 10}),
    ]
    assert sorted(_make(recipes, folders, tmp_path / "one", flow=True)) == ["a", "b"]
    root = open_rvd(tmp_path / "one")
    video = root.videos[0]
    assert (video.video_name, len(video.frames)) == ("a", 3)
    raws = list(Simulation(recipes[0], folders).raws())
    assert np.array_equal(root.read_raw(video, 2), raws[2].mosaic)
    assert root.camera(video).black == raws[0].black
    assert root.camera(video).phase is raws[0].phase
    assert root.read_srgb(video, 0).shape == (48, 64, 3)
    assert np.abs(root.read_flow(video, 1)).max() < 1e-4
    seen = {name: {tag for tag, has in tags.items() if has} for name, tags in root.tags.items()}
    assert seen == {"a": {"LibRaw, lossless"}, "b": {"camera-like ISP, lossy"}}
    assert {"dark", "fast_motion"} <= root.tags["a"].keys()
    assert (tmp_path / "one" / "sheets" / "b.png").exists()

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*.tiff")}
    assert sorted(_make(recipes, folders, tmp_path / "one", flow=True)) == ["a", "b"]
    assert before == {path: path.stat().st_mtime_ns for path in before}

    _make(recipes, folders, tmp_path / "two", flow=True)
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_another_recipe_of_the_same_name_needs_overwrite(
    recipe: Make, folders: SourceFolders, tmp_path: Path
) -> None:
    first, other = recipe(name="a", **SMALL), recipe(name="a", seed=4, **SMALL)
    _make([first], folders, tmp_path / "set")
    before = _bytes(tmp_path / "set")
    with pytest.raises(OutputError, match="another recipe"):
        _make([other], folders, tmp_path / "set")
    assert _bytes(tmp_path / "set") == before
    _make([other], folders, tmp_path / "set", overwrite=True)
    assert _bytes(tmp_path / "set") != before


def test_a_recipe_written_before_a_field_was_added_is_the_same_recipe(
    recipe: Make, folders: SourceFolders, tmp_path: Path
) -> None:
    one = recipe(name="a", **SMALL)
    _make([one], folders, tmp_path / "set")
    kept = tmp_path / "set" / "recipes" / "a.json"
    kept.write_text(one.model_dump_json(exclude_defaults=True))
    before = _bytes(tmp_path / "set")
    _make([one], folders, tmp_path / "set")
    assert _bytes(tmp_path / "set") == before


def test_what_stood_before_a_failure_stays_listed(
    recipe: Make, folders: SourceFolders, tmp_path: Path
) -> None:
    _make([recipe(name="a", **SMALL)], folders, tmp_path / "set")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = recipe(name="b", **SMALL, background={"kind": "photo", "path": "broken.png"})
    with pytest.raises(InputError, match=r"broken\.png"):
        _make([recipe(name="c", **SMALL), broken], folders, tmp_path / "set")
    assert [video.video_name for video in open_rvd(tmp_path / "set").videos] == ["a", "c"]


def test_a_killed_worker_is_said_in_words(
    recipe: Make, folders: SourceFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rvdtool.research.dataset.produce.prepare_worker", sys.exit)
    with pytest.raises(OutputError, match="fewer --jobs"):
        _make([recipe(**SMALL)], folders, tmp_path / "set")


def test_flow_asked_for_later_is_made_later(
    recipe: Make, folders: SourceFolders, tmp_path: Path
) -> None:
    clip = recipe(**SMALL)
    _make([clip], folders, tmp_path / "set")
    assert not (tmp_path / "set" / "flow").exists()
    _make([clip], folders, tmp_path / "set", flow=True)
    root = open_rvd(tmp_path / "set")
    assert root.read_flow(root.videos[0], 0).shape == (48, 64, 2)


def test_too_little_room_is_said_before_starting(
    recipe: Make, folders: SourceFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match="are needed"):
        _make([recipe(**SMALL)], folders, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_two_recipes_of_one_name_are_refused(
    recipe: Make, folders: SourceFolders, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="name clip"):
        _make([recipe(), recipe(seed=9)], folders, tmp_path / "set")
