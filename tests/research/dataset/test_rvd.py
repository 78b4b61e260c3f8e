"""RVD folders, also as published: without cameras.json."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from rvdtool.errors import InputError
from rvdtool.raw.frame import CfaPhase
from rvdtool.research.dataset.rvd import RvdFolder, VideoCamera, open_rvd
from rvdtool.video.png import write_png


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Two frames of one video, as the authors' folder has them."""
    rng = np.random.default_rng(1)
    for folder in ("RAW/v1", "sRGB/v1", "flow/v1"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("7", "8"):
        tifffile.imwrite(
            tmp_path / f"RAW/v1/{name}.tiff", rng.integers(0, 16384, (40, 60), np.uint16)
        )
        write_png(rng.integers(0, 256, (40, 60, 3), np.uint8), tmp_path / f"sRGB/v1/{name}.png")
    np.save(tmp_path / "flow/v1/7_flow.npy", np.ones((40, 60, 2)))
    (tmp_path / "data.json").write_text(json.dumps([{"video_name": "v1", "frames": ["7", "8"]}]))
    return tmp_path


def test_the_published_folder_reads_unchanged(published: Path) -> None:
    root = open_rvd(published)
    video = root.videos[0]
    camera = root.camera(video)
    assert camera == VideoCamera(bits=14, black=(0, 0, 0, 0), white=16383, phase=CfaPhase.RGGB)
    assert np.array_equal(root.read_raw(video, 1), tifffile.imread(published / "RAW/v1/8.tiff"))
    assert root.read_srgb(video, 0).dtype == np.uint8
    assert root.read_flow(video, 0).dtype == np.float32


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("data.json", "{}", "expected"),
        ("data.json", "[]", "lists no video"),
        ("data.json", '[{"video_name": "..", "frames": ["7"]}]', "video_name"),
        ("data.json", '[{"video_name": "v1", "frames": ["."]}]', "frames"),
        ("data.json", '[{"video_name": "v1"}]', "frames"),
        ("data.json", '[{"video_name": "../v1", "frames": ["7"]}]', "video_name"),
        ("data.json", '[{"video_name": "v1", "frames": []}]', "frames"),
        (
            "data.json",
            '[{"video_name":"a","frames":["1"]},{"video_name":"a","frames":["1"]}]',
            "twice",
        ),
        ("cameras.json", '{"v1": {"phase": "XTRANS"}}', "phase"),
        ("tags.json", '{"v1": ["dark"]}', "v1"),
    ],
)
def test_a_wrong_index_names_file_and_field(
    published: Path, file: str, text: str, says: str
) -> None:
    (published / file).write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        open_rvd(published)
    assert str(published / file) in str(caught.value)


def _damage(root: RvdFolder, kind: str) -> Path:
    video = root.videos[0]
    path = {
        "RAW": root.raw_path(video, 0),
        "sRGB": root.srgb_path(video, 0),
        "flow": root.flow_path(video, 0),
    }[kind]
    path.write_bytes(b"damaged")
    return path


@pytest.mark.parametrize("kind", ["RAW", "sRGB", "flow"])
def test_a_damaged_frame_is_named(published: Path, kind: str) -> None:
    root = open_rvd(published)
    read = {"RAW": root.read_raw, "sRGB": root.read_srgb, "flow": root.read_flow}[kind]
    path = _damage(root, kind)
    with pytest.raises(InputError) as caught:
        read(root.videos[0], 0)
    assert str(path) in str(caught.value)
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        read(root.videos[0], 0)


def test_no_index_at_all(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data\.json: no such file"):
        open_rvd(tmp_path)


def test_a_frame_cut_short_is_named_wherever_it_is_cut(published: Path) -> None:
    root = open_rvd(published)
    path = root.raw_path(root.videos[0], 0)
    whole = path.read_bytes()
    for length in range(0, min(len(whole), 400), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=path.name):
            root.read_raw(root.videos[0], 0)
