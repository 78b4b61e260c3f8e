"""Bundles on disk: their content, other readers, and what is refused."""

import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from rvdtool.bundle import fields as m
from rvdtool.bundle.store import open_bundle
from rvdtool.errors import BundleError, InputError
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import FileSource

DOCS = Path(__file__).parents[2] / "docs" / "formats"
SCHEMA_FILE, FORMAT_FILE = DOCS / "manifest.schema.json", DOCS / "bundle.md"
MEMBERS = [
    "mimetype",
    "video/clip.mp4",
    "reference/000000.dng",
    "reference/000000.planes.tiff",
    "manifest.json",
    "manifest.sha256",
]


def test_a_reader_that_knows_only_zip_and_json_can_use_it(shot: Any) -> None:
    with zipfile.ZipFile(shot.bundle) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == MEMBERS
        manifest = json.loads(archive.read("manifest.json"))
        jsonschema.validate(manifest, json.loads(SCHEMA_FILE.read_text()))
        video, reference = manifest["video"], manifest["references"][0]
        for member in (*video["members"], reference["raw"]["member"]):
            data = archive.read(member["name"])
            assert len(data) == member["size"]
            assert hashlib.sha256(data).hexdigest() == member["sha256"]
        assert archive.read("video/clip.mp4") == shot.video.read_bytes()
        assert archive.read("reference/000000.dng") == shot.raw.read_bytes()
        digest, name = archive.read("manifest.sha256").decode().split()
        assert digest == hashlib.sha256(archive.read(name)).hexdigest()


def test_the_example_in_the_format_gives_the_raw_frame(
    shot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(shot.bundle, "clip.rvd")
    (example,) = re.findall(r"^```python\n(.*?)^```", FORMAT_FILE.read_text(), re.M | re.S)
    found: dict[str, Any] = {}
    exec(example, found)
    assert found["pixels"].dtype == np.uint16
    assert np.array_equal(found["mosaic"], shot.frame.mosaic)
    reference = found["manifest"]["references"][0]
    assert (reference["phase"], reference["black"]) == ("GRBG", [64.25, 64, 64, 64.25])


def test_the_limits_in_the_format_are_those_of_the_models() -> None:
    text = FORMAT_FILE.read_text()
    for limit in (m.MAX_SIDE, m.MAX_FRAMES, m.MAX_IMAGES, m.MAX_REFERENCES):
        assert f" {limit:,} " in text
    assert f" {m.MAX_MANIFEST_BYTES // 2**20} MiB |" in text
    assert f" {m.MAX_NAME_BYTES} bytes |" in text


def test_every_member_is_stored_and_has_no_date(shot: Any) -> None:
    with zipfile.ZipFile(shot.bundle) as archive:
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
    # `file` and its like look here
    assert shot.bundle.read_bytes()[30:72] == b"mimetypeapplication/vnd.rvdtool.bundle+zip"


def test_the_video_is_read_in_place(shot: Any) -> None:
    bundle, source = open_bundle(shot.bundle), FileSource(shot.video)
    assert bundle.video_info == probe(source) == probe(bundle.checked_video())
    inside = [frame.rgb for frame in read_frames(bundle.checked_video(), bundle.video_info)]
    outside = [frame.rgb for frame in read_frames(source, probe(source))]
    assert np.array_equal(inside, outside)


def test_the_reference_is_the_raw_frame(shot: Any) -> None:
    (reference,) = open_bundle(shot.bundle).references
    frame, written = reference.frame, shot.frame
    assert reference.index == 0
    assert np.array_equal(frame.mosaic, written.mosaic)
    for name in ("phase", "black", "white", "bits", "orientation", "exposure"):
        assert getattr(frame, name) == getattr(written, name)
    profile = frame.profile
    assert set(written.profile.tags) <= set(profile.tags)
    for name in ("make", "model", "unique_model", "as_shot_neutral", "color_matrix"):
        assert getattr(profile, name) == getattr(written.profile, name)


def test_opening_reads_neither_the_video_nor_pixels(shot: Any, tmp_path: Path) -> None:
    """Opening is quick whatever their size, and their bytes may be anything."""
    slices = open_bundle(shot.bundle).slices
    data = bytearray(shot.bundle.read_bytes())
    for name in MEMBERS[1:4]:
        part = slices[name]
        data[part.offset : part.offset + part.size] = bytes(part.size)
    blank = tmp_path / "blank.rvd"
    blank.write_bytes(data)
    bundle = open_bundle(blank)
    with pytest.raises(BundleError, match=r"planes\.tiff is damaged"):
        _ = bundle.references[0].frame


def repacked(
    bundle: Path, out: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]
) -> Path:
    """A ZIP file of the bundle's members, each replaced by the result of `change`."""
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(out, "w") as target:
        for info in source.infolist():
            for name, data in change(info.filename, source.read(info)):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # about duplicate names
                    target.writestr(name, data)
    return out


def test_a_zip_that_others_made_of_the_same_members_is_a_bundle(shot: Any, tmp_path: Path) -> None:
    out = repacked(shot.bundle, tmp_path / "again.rvd", lambda name, data: [(name, data)])
    assert np.array_equal(open_bundle(out).references[0].frame.mosaic, shot.frame.mosaic)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda n, d: [] if n.endswith(".dng") else [(n, d)], r"000000\.dng' is missing"),
        (lambda n, d: [] if n == "manifest.json" else [(n, d)], r"no manifest\.json"),
        (lambda n, d: [(n, d), ("x/y", b"1")] if n == MEMBERS[1] else [(n, d)], "'x/y' isn't in"),
        (lambda n, d: [(n, d), ("../y", b"1")] if n == MEMBERS[1] else [(n, d)], r"'\.\./y'"),
        (lambda n, d: [(n, d), (n, d)] if n == MEMBERS[2] else [(n, d)], "twice"),
        (lambda n, d: [(n + "x", d)] if n == MEMBERS[1] else [(n, d)], "clip.mp4' is missing"),
        (lambda n, d: [(n, d + b"x")] if n == MEMBERS[1] else [(n, d)], "its manifest says"),
        (lambda n, d: [(n, d + b"x")] if n == MEMBERS[0] else [(n, d)], "its manifest says"),
        (lambda n, d: [(n, b"{}")] if n == MEMBERS[4] else [(n, d)], "manifest.json was altered"),
        (lambda n, d: [(n, b"x")] if n == MEMBERS[5] else [(n, d)], "manifest.json was altered"),
    ],
)
def test_members_must_be_those_of_the_manifest(
    shot: Any,
    tmp_path: Path,
    change: Callable[[str, bytes], list[tuple[str, bytes]]],
    told: str,
) -> None:
    with pytest.raises(BundleError, match=told):
        open_bundle(repacked(shot.bundle, tmp_path / "changed.rvd", change))


def test_compressed_members_are_refused(shot: Any, tmp_path: Path) -> None:
    out = tmp_path / "deflated.rvd"
    with zipfile.ZipFile(shot.bundle) as source, zipfile.ZipFile(out, "w") as target:
        for name in MEMBERS:
            kind = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            target.writestr(name, source.read(name), compress_type=kind)
    with pytest.raises(BundleError, match="is compressed or encrypted"):
        open_bundle(out)


def test_bytes_around_or_between_are_refused(shot: Any, tmp_path: Path) -> None:
    data = shot.bundle.read_bytes()
    directory = data.index(b"PK\1\2")
    where = int.from_bytes(data[-6:-2], "little")
    assert where == directory
    hidden = data[:directory] + b"x" + data[directory:-6] + (where + 1).to_bytes(4, "little")
    changes = {"before": b"x" + data, "after": data + b"x", "between": hidden + data[-2:]}
    for name, changed in changes.items():
        path = tmp_path / name
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            open_bundle(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a bundle" * 100])
def test_what_is_no_bundle_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.rvd"
    path.write_bytes(data)
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(path)


def test_another_zip_is_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "other.rvd"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BundleError, match="not a bundle"):
        open_bundle(path)


def test_a_missing_bundle_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_bundle(tmp_path / "none.rvd")


def test_a_bundle_cut_anywhere_is_refused(shot: Any, tmp_path: Path) -> None:
    data = shot.bundle.read_bytes()
    path = tmp_path / "cut.rvd"
    directory = data.index(b"PK\1\2")  # each of the last bytes, and some of the members'
    for size in (*range(0, directory, 97), *range(directory, len(data))):
        path.write_bytes(data[:size])
        with pytest.raises(BundleError):
            open_bundle(path)


def test_flipped_bytes_in_the_structure_never_crash(shot: Any, tmp_path: Path) -> None:
    """Outside of the members' data, nearly all of them are detected; none has any other effect."""
    data = shot.bundle.read_bytes()
    slices = open_bundle(shot.bundle).slices
    covered = {i for s in slices.values() for i in range(s.offset, s.offset + s.size)}
    rng = random.Random(0)
    path = tmp_path / "flipped.rvd"
    noticed = 0
    structure = [i for i in range(len(data)) if i not in covered]
    for position in structure:
        changed = bytearray(data)
        changed[position] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            assert open_bundle(path).slices == slices
        except BundleError:
            noticed += 1
    # Dates, attributes and versions carry no meaning
    assert noticed > 0.5 * len(structure)


def test_a_flipped_byte_in_the_manifest_is_noticed(shot: Any, tmp_path: Path) -> None:
    data = shot.bundle.read_bytes()
    part = open_bundle(shot.bundle).slices["manifest.json"]
    path = tmp_path / "flipped.rvd"
    for position in range(part.offset, part.offset + part.size, 5):
        changed = bytearray(data)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            open_bundle(path)


def test_opening_imports_neither_torch_nor_opencv(shot: Any) -> None:
    script = (
        "import sys; from pathlib import Path; import rvdtool;"
        "bundle = rvdtool.open_bundle(Path(sys.argv[1])); bundle.references[0].frame;"
        "print(sorted({'torch', 'cv2', 'skimage'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script, str(shot.bundle)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
