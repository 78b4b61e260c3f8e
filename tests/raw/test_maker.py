"""The camera's name is read from CR3 and RAF files."""

import struct

import pytest

from rvdtool.raw.frame import Tag
from rvdtool.raw.maker import camera_name, raw_kind
from rvdtool.raw.tiff import encode_tiff


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def test_a_raf_names_its_camera(tmp_path):
    path = tmp_path / "a.raf"
    path.write_bytes(b"FUJIFILMCCD-RAW 0201FF179502" + b"X-T3".ljust(32, b"\0") + bytes(200))
    assert raw_kind(path) == "a Fujifilm RAF"
    assert camera_name(path) == ("FUJIFILM", "X-T3")


def test_a_cr3_names_its_camera(tmp_path):
    tiff = encode_tiff([Tag(271, 2, 6, "Canon"), Tag(272, 2, 14, "Canon EOS R5")], (), bytes(8))
    uuid = box(b"uuid", bytes.fromhex("85c0b687820f11e08111f4ce462b6a48") + box(b"CMT1", tiff))
    path = tmp_path / "a.cr3"
    path.write_bytes(box(b"ftyp", b"crx \0\0\0\1crx isom") + box(b"moov", uuid) + bytes(999))
    assert raw_kind(path) == "a Canon CR3"
    assert camera_name(path) == ("Canon", "Canon EOS R5")


@pytest.mark.parametrize(
    "data",
    [b"", b"II*\0", b"FUJIFILMCCD-RAW 0201", b"\0\0\0\x18ftypcrx ", b"\0\0\0\x18ftypcrx CMT1II"],
)
def test_files_that_name_no_camera(tmp_path, data):
    path = tmp_path / "a"
    path.write_bytes(data)
    assert camera_name(path) == ("", "")
