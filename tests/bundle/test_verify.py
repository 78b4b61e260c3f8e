"""Verifying detects changes and names the part; unpacking restores the user's files."""

import hashlib
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from rvdtool.bundle import store as store_module
from rvdtool.bundle import verify as verify_module
from rvdtool.bundle.archive import ArchiveWriter
from rvdtool.bundle.store import open_bundle
from rvdtool.bundle.unpack import unpack
from rvdtool.bundle.verify import ARCHIVE, Check, verify
from rvdtool.capture.pack import pack
from rvdtool.errors import BundleError, OutputError

VIDEO, RAW, PLANES = "video/clip.mp4", "reference/000000.dng", "reference/000000.planes.tiff"
MANIFEST = "manifest.json"
DECODING, EQUAL = "decoding clip.mp4", "planes of First Frame.dng"


def slices(bundle: Path) -> dict[str, Any]:
    return open_bundle(bundle).slices


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
    """A bundle with other members and matching hashes and CRCs: a forgery, or a bug."""
    with (
        zipfile.ZipFile(bundle) as source,
        out.open("wb") as file,
        ArchiveWriter(file) as target,
    ):
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
        for name in source.namelist()[:-2]:
            target.add_bytes(name, changes.get(name, source.read(name)))
        written = target.add_bytes("manifest.json", json.dumps(described).encode())
        target.add_bytes("manifest.sha256", f"{written.sha256}  manifest.json\n".encode())
    return out


def test_an_intact_bundle_passes_every_check(shot: Any) -> None:
    done: list[int] = []
    checks = verify(open_bundle(shot.bundle), advance=done.append)
    assert [check.name for check in checks] == [
        ARCHIVE,
        MANIFEST,
        VIDEO,
        RAW,
        PLANES,
        DECODING,
        EQUAL,
    ]
    assert all(check.ok for check in checks), checks
    assert sum(done) == sum(m.size for m in open_bundle(shot.bundle).manifest.members)


def test_without_depth_only_hashes_are_checked(shot: Any) -> None:
    checks = verify(open_bundle(shot.bundle), deep=False)
    assert [check.name for check in checks] == [ARCHIVE, MANIFEST, VIDEO, RAW, PLANES]


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
    assert [(c.name, c.detail) for c in failed] == [
        (EQUAL, "its pixels differ from the RAW file's")
    ]


def test_padding_that_is_not_the_planes_is_found(shot: Any, tmp_path: Path) -> None:
    said = json.loads(member(shot.bundle, "manifest.json"))["references"][0]["planes"]
    other = {**said, "padding": {**said["padding"], "left": 0, "right": 0}}
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {}, planes=other)
    (failed,) = [check for check in verify(open_bundle(bundle)) if not check.ok]
    assert "padding" in failed.detail


def test_planes_that_are_no_tiff_are_found(shot: Any, tmp_path: Path) -> None:
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {PLANES: b"II*\0" + bytes(60)})
    failed = [check.name for check in verify(open_bundle(bundle)) if not check.ok]
    assert failed == [EQUAL]


def test_levels_that_are_not_the_raws_are_found(shot: Any, tmp_path: Path) -> None:
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {}, white=1000)
    (failed,) = [check for check in verify(open_bundle(bundle)) if not check.ok]
    assert "levels" in failed.detail


def test_a_video_with_frames_missing_is_found(shot: Any, tmp_path: Path) -> None:
    """Its hash is right, since it was packed like that, but it differs from the manifest."""
    data = shot.video.read_bytes()
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {VIDEO: data[:-400]})
    failed = [check.name for check in verify(open_bundle(bundle)) if not check.ok]
    assert failed == [DECODING]


def test_every_byte_of_the_file_is_checked(shot: Any, tmp_path: Path) -> None:
    """Any flipped bit is detected: on opening, or by hashes and headers alone."""
    data = shot.bundle.read_bytes()
    inside = {name: range(s.offset, s.offset + s.size) for name, s in slices(shot.bundle).items()}
    path = tmp_path / "flipped.rvd"
    rng = random.Random(0)
    for position in range(len(data)):
        member = next((name for name, place in inside.items() if position in place), ARCHIVE)
        if member in (VIDEO, RAW, PLANES) and position % 61:
            continue  # all their bytes go into one hash; the structure is looked at byte by byte
        changed = bytearray(data)
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            checks = verify(open_bundle(path), deep=False)
        except BundleError:
            continue
        failed = [check for check in checks if not check.ok]
        assert [check.name for check in failed] == [member], position
        if member == ARCHIVE:
            assert f"byte {position}," in failed[0].detail


def test_headers_of_large_archives_are_known_too(
    shot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ZIP64 fields of members and offsets beyond 2 GiB, as zipfile writes them."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 3000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 4)
    bundle = pack(shot.video, shot.raw, tmp_path / "large.rvd")
    data = bundle.read_bytes()
    assert b"PK\6\6" in data
    assert b"PK\6\7" in data
    assert all(check.ok for check in verify(open_bundle(bundle)))
    place = data.index(b"PK\6\6") + 12  # "made by", which nobody reads
    bundle.write_bytes(data[:place] + b"\0" + data[place + 1 :])
    assert [c.name for c in verify(open_bundle(bundle), deep=False) if not c.ok] == [ARCHIVE]


def test_a_zip_that_others_made_is_told_from_what_was_packed(shot: Any, tmp_path: Path) -> None:
    """It opens and all its members are right, but it is a different file."""
    out = tmp_path / "again.rvd"
    with zipfile.ZipFile(shot.bundle) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    failed = [check for check in verify(open_bundle(out)) if not check.ok]
    assert [check.name for check in failed] == [ARCHIVE]
    assert "or written by another program" in failed[0].detail


@pytest.mark.parametrize("name", [VIDEO, RAW, PLANES])
def test_no_decoder_sees_altered_bytes(
    shot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Decoders are C code, which damaged data may crash, so hashes are checked first."""

    def decode(*_: Any, **__: Any) -> None:
        raise AssertionError("was asked to decode")

    intact = "_check_reference" if name == VIDEO else "_check_video"
    monkeypatch.setattr(verify_module, intact, lambda *_: Check(intact, True, "not looked at"))
    for module, function in (
        (verify_module, "probe"),
        (verify_module, "read_frames"),
        (verify_module, "read_raw"),
        (store_module, "decode_planes"),
    ):
        monkeypatch.setattr(module, function, decode)
    bundle = open_bundle(flipped(shot.bundle, tmp_path / "bad.rvd", name))
    assert [check.name for check in verify(bundle) if not check.ok] == [name]
    if name == VIDEO:
        with pytest.raises(BundleError, match=r"video/clip\.mp4 is damaged"):
            bundle.checked_video()
    if name == PLANES:
        with pytest.raises(BundleError, match=r"planes\.tiff is damaged"):
            _ = bundle.references[0].frame


@pytest.mark.parametrize("kind", ["compressed", "short", "long"])
def test_planes_that_would_fill_the_memory_are_not_read(
    shot: Any, tmp_path: Path, kind: str
) -> None:
    """A TIFF of zeros can be compressed a thousandfold; planes in a bundle are never compressed."""
    pixels = np.zeros((24, 33, 4), np.uint16)
    buffer = io.BytesIO()
    compression = "zlib" if kind == "compressed" else None
    tifffile.imwrite(
        buffer, pixels, compression=compression, photometric="minisblack", planarconfig="contig"
    )
    data = buffer.getvalue()
    if kind == "compressed":
        data += bytes(24 * 33 * 8)
    elif kind == "short":
        data = data[:1000]
    else:
        data += bytes(2**20)
    bundle = open_bundle(resealed(shot.bundle, tmp_path / "forged.rvd", {PLANES: data}))
    with pytest.raises(BundleError, match=r"Compression is \[8\]|and a short header"):
        _ = bundle.references[0].frame
    assert [check.name for check in verify(bundle) if not check.ok] == [EQUAL]


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


def test_a_manifest_without_later_fields_is_verified_by_what_it_says(
    shot: Any, tmp_path: Path
) -> None:
    """Bundles of earlier versions have no fields for streams and pixel shapes."""
    later = ("stream", "sample_aspect", "taken_as_progressive", "undecodable")
    with zipfile.ZipFile(shot.bundle) as source:
        manifest = json.loads(source.read("manifest.json"))
        members = {name: source.read(name) for name in source.namelist()[1:-2]}
    for name in later:
        del manifest["video"][name]
    old = tmp_path / "old.rvd"
    with old.open("wb") as file, ArchiveWriter(file) as target:
        target.add_bytes("mimetype", b"application/vnd.rvdtool.bundle+zip")
        for name, data in members.items():
            target.add_bytes(name, data)
        target.add_bytes("manifest.json", json.dumps(manifest).encode())
    bundle = open_bundle(old)
    assert bundle.video_info.stream is None
    checks = verify(bundle)
    assert [check for check in checks if not check.ok] == []
    assert "has no SHA-256" in checks[1].detail


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("profile", "as_shot_neutral", [1.0, 1.0, 1.0]),
        ("profile", "color_matrix", [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
        ("profile", "unique_model", "Another"),
        ("profile", "tags", []),
        ("exposure", "iso", 12),
    ],
)
def test_a_manifest_that_contradicts_its_raw_is_found(
    shot: Any, tmp_path: Path, part: str, field: str, value: Any
) -> None:
    said = json.loads(member(shot.bundle, MANIFEST))["references"][0][part]
    tag = {"code": 50730, "dtype": 10, "count": 1, "value": {"kind": "numbers", "numbers": [1, 2]}}
    said[field] = [*said["tags"], tag] if field == "tags" else value
    bundle = resealed(shot.bundle, tmp_path / "forged.rvd", {}, **{part: said})
    failed = [check for check in verify(open_bundle(bundle)) if not check.ok]
    assert [check.name for check in failed] == [EQUAL]
    assert f"the manifest's {field} is not what the RAW file states" in failed[0].detail
