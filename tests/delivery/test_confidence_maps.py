"""`--confidence`: a map for every frame, and no file of the user's is touched."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from small_shots import SIZE, make_bundle, pan

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.delivery import folder as delivery
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.errors import OutputError, UsageError
from rvdtool.reconstruct.chain import Chain

FRAMES = 5


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(make_bundle(tmp_path_factory.mktemp("clip"), pan(FRAMES)))


def maps(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_frame_has_its_map(bundle: Bundle, tmp_path: Path) -> None:
    options = DerenderOptions(confidence=tmp_path / "maps")
    report = derender_to_folder(bundle, tmp_path / "raws", options)
    names = [f"clip_{index:06d}.png" for index in range(FRAMES)]
    assert sorted(maps(tmp_path / "maps")) == names
    first, *others = (imagecodecs.imread(tmp_path / "maps" / name) for name in names)
    assert (first == 255).all()  # the camera's own RAW
    for index, made in enumerate(others, start=1):
        assert made.shape == SIZE
        assert made.dtype == np.uint8
        assert made.mean() / 4 == pytest.approx(report.expected[index], abs=2)


def test_what_is_there_is_checked_before_any_work(bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    (folder / "holiday.png").write_bytes(b"dear")
    for existing, words in (("refuse", "has files in it"), ("overwrite", "is not a map of clip")):
        options = DerenderOptions(confidence=folder, existing=existing)  # type: ignore[arg-type]
        with pytest.raises(OutputError, match=words):
            derender_to_folder(bundle, tmp_path / "raws", options)
    assert maps(folder) == {"holiday.png": b"dear"}
    assert not (tmp_path / "raws").exists()
    with pytest.raises(UsageError, match="give --confidence another folder"):
        derender_to_folder(
            bundle, folder, DerenderOptions(confidence=tmp_path / "x" / ".." / "maps")
        )


def test_a_resumed_run_makes_the_same_maps(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    derender_to_folder(bundle, tmp_path / "a", DerenderOptions(confidence=tmp_path / "whole"))
    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 2)
    parts = tmp_path / "parts"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(Chain, "fuse", _stopping_at(4))
        derender_to_folder(bundle, tmp_path / "b", DerenderOptions(confidence=parts))
    options = DerenderOptions(confidence=parts, existing="resume")
    written = (parts / "clip_000001.png").read_bytes()
    (parts / "clip_000001.png").write_bytes(written[:-1] + b"x")
    with pytest.raises(
        OutputError, match=r"clip_000001\.png: has changed since the interrupted run wrote"
    ):
        derender_to_folder(bundle, tmp_path / "b", options)
    (parts / "clip_000001.png").write_bytes(written)
    report = derender_to_folder(bundle, tmp_path / "b", options)
    assert report.resumed_at == 3
    assert maps(parts) == maps(tmp_path / "whole")


def test_maps_that_are_missing_are_named(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "CHECKPOINT_EVERY", 2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
        patch.setattr(Chain, "fuse", _stopping_at(4))
        derender_to_folder(bundle, tmp_path / "raws")
    options = DerenderOptions(confidence=tmp_path / "maps", existing="resume")
    with pytest.raises(OutputError, match=r"clip_000000\.png: is missing"):
        derender_to_folder(bundle, tmp_path / "raws", options)


def _stopping_at(index: int):  # type: ignore[no-untyped-def]
    fuse = Chain.fuse

    def until(chain: Chain, seen: object) -> object:
        if chain.state.index + 1 == index:
            raise KeyboardInterrupt
        return fuse(chain, seen)  # type: ignore[arg-type]

    return until
