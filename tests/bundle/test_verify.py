"""Verifying finds what was altered and says which part; unpacking gives the user's files back."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from rvdtool.bundle.store import open_bundle
from rvdtool.bundle.unpack import unpack
from rvdtool.bundle.verify import verify
from rvdtool.errors import BundleError, OutputError

VIDEO, RAW, PLANES = "video/clip.mp4", "reference/000000.dng", "reference/000000.planes.tiff"
DECODING, EQUAL = "decoding clip.mp4", "planes of First Frame.dng"


def member(bundle: Path, name: str) -> bytes:
    with zipfile.ZipFile(bundle) as archive:
        return archive.read(name)


def flipped(bundle: Path, out: Path, member: str, position: int = 0) -> Path:
    data = bytearray(bundle.read_bytes())
    part = open_bundle(bundle).slices[member]
    data[part.offset + position % part.size] ^= 1
    out.write_bytes(data)
    return out


def resealed(bundle: Path, out: Path, changes: dict[str, bytes], **manifest: Any) -> Path:
    """A bundle with other members, whose hashes and CRCs are right: a forgery, or a bug."""
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(out, "w") as target:
        described = json.loads(source.read("manifest.json"))
        reference = described["references"][0]
        reference.update(manifest)
        for member in (
            *described["video"]["members"],
            reference["raw"]["member"],
            reference["planes"]["member"],
        ):
            if member["name"] in changes:
                data = changes[member["name"]]
                member["size"], member["sha256"] = len(data), hashlib.sha256(data).hexdigest()
        for name in source.namelist()[:-1]:
            target.writestr(name, changes.get(name, source.read(name)))
        target.writestr("manifest.json", json.dumps(described))
    return out


def test_an_intact_bundle_passes_every_check(shot: Any) -> None:
    done: list[int] = []
    checks = verify(open_bundle(shot.bundle), advance=done.append)
    assert [check.name for check in checks] == [VIDEO, RAW, PLANES, DECODING, EQUAL]
    assert all(check.ok for check in checks), checks
    assert sum(done) == sum(m.size for m in open_bundle(shot.bundle).manifest.members)


def test_without_depth_only_hashes_are_checked(shot: Any) -> None:
    checks = verify(open_bundle(shot.bundle), deep=False)
    assert [check.name for check in checks] == [VIDEO, RAW, PLANES]


@pytest.mark.parametrize("member", [VIDEO, RAW, PLANES])
@pytest.mark.parametrize("position", [0, -1, 1000])
def test_one_flipped_bit_is_found_and_placed(
    shot: Any, tmp_path: Path, member: str, position: int
) -> None:
    bundle = flipped(shot.bundle, tmp_path / "bad.rvd", member, position)
    checks = verify(open_bundle(bundle), deep=False)
    assert [check.name for check in checks if not check.ok] == [member]


def test_planes_that_are_not_the_raws_are_found(shot: Any, tmp_path: Path) -> None:
    data = bytearray(member(shot.bundle, PLANES))
    data[-1] ^= 1
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {PLANES: bytes(data)})
    failed = [check for check in verify(open_bundle(bundle)) if not check.ok]
    assert [(c.name, c.detail) for c in failed] == [(EQUAL, "not the RAW file's pixels")]


def test_padding_that_is_not_the_planes_is_found(shot: Any, tmp_path: Path) -> None:
    said = json.loads(member(shot.bundle, "manifest.json"))["references"][0]["planes"]
    other = {**said, "padding": {**said["padding"], "left": 0, "right": 0}}
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {}, planes=other)
    (failed,) = [check for check in verify(open_bundle(bundle)) if not check.ok]
    assert "padded" in failed.detail


def test_planes_that_are_no_tiff_are_found(shot: Any, tmp_path: Path) -> None:
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {PLANES: b"II*\0" + bytes(60)})
    failed = [check.name for check in verify(open_bundle(bundle)) if not check.ok]
    assert failed == [EQUAL]


def test_levels_that_are_not_the_raws_are_found(shot: Any, tmp_path: Path) -> None:
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {}, white=1000)
    (failed,) = [check for check in verify(open_bundle(bundle)) if not check.ok]
    assert "levels" in failed.detail


def test_a_video_with_frames_missing_is_found(shot: Any, tmp_path: Path) -> None:
    """Its hash is right (it was packed like that), but it isn't what the manifest promises."""
    data = shot.video.read_bytes()
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {VIDEO: data[:-400]})
    failed = [check.name for check in verify(open_bundle(bundle)) if not check.ok]
    assert failed == [DECODING]


def test_unpacking_gives_both_files_back(shot: Any, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    paths = unpack(open_bundle(shot.bundle), folder)
    assert paths == [folder / "clip.mp4", folder / shot.raw.name]
    assert paths[0].read_bytes() == shot.video.read_bytes()
    assert paths[1].read_bytes() == shot.raw.read_bytes()


def test_unpacking_touches_nothing_that_exists(shot: Any, tmp_path: Path) -> None:
    mine = tmp_path / shot.raw.name
    mine.write_text("mine")
    with pytest.raises(OutputError, match="already exists"):
        unpack(open_bundle(shot.bundle), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    assert mine.read_text() == "mine"
    unpack(open_bundle(shot.bundle), tmp_path, overwrite=True)
    assert mine.read_bytes() == shot.raw.read_bytes()


def test_a_damaged_member_is_not_unpacked(shot: Any, tmp_path: Path) -> None:
    bundle = flipped(shot.bundle, tmp_path / "bad.rvd", RAW)
    folder = tmp_path / "out"
    with pytest.raises(BundleError, match=r"reference/000000\.dng was altered"):
        unpack(open_bundle(bundle), folder)
    assert [path.name for path in folder.iterdir()] == ["clip.mp4"]


def test_files_of_one_name_are_not_written_over_each_other(shot: Any, tmp_path: Path) -> None:
    raw = json.loads(member(shot.bundle, "manifest.json"))["references"][0]["raw"]
    bundle = resealed(shot.bundle, tmp_path / "same.rvd", {}, raw={**raw, "name": "clip.mp4"})
    with pytest.raises(BundleError, match="same name"):
        unpack(open_bundle(bundle), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bundle_replaced_by_a_shorter_one_is_noticed(shot: Any, tmp_path: Path) -> None:
    path = tmp_path / "clip.rvd"
    path.write_bytes(shot.bundle.read_bytes())
    bundle = open_bundle(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BundleError, match="cut short"):
        verify(bundle)
    with pytest.raises(BundleError):
        _ = bundle.references[0].frame
