"""The TIFF files we write, as tifffile reads them."""

from io import BytesIO

import numpy as np
import pytest
import tifffile

from rvdtool.errors import RawError
from rvdtool.raw.frame import Tag
from rvdtool.raw.tiff import encode_tiff

IMAGE = np.arange(12, dtype="<u2").reshape(3, 4)
BASE = [
    Tag(256, 4, 1, 4),
    Tag(257, 4, 1, 3),
    Tag(258, 3, 1, 16),
    Tag(259, 3, 1, 1),
    Tag(262, 3, 1, 1),
    Tag(277, 3, 1, 1),
    Tag(278, 4, 1, 3),
    Tag(279, 4, 1, IMAGE.nbytes),
]
EVERY_TYPE = [
    (1, 3, (1, 2, 255), b"\x01\x02\xff"),
    (2, 5, "four", "four"),
    (2, 3, "ab", "ab"),  # fits into the entry itself
    (3, 1, 65535, 65535),
    (3, 3, (1, 2, 3), (1, 2, 3)),
    (4, 2, (1, 2**32 - 1), (1, 2**32 - 1)),
    (5, 2, (1, 3, 2, 7), (1, 3, 2, 7)),
    (6, 2, (-1, 1), (-1, 1)),
    (7, 6, b"\x00\x01\x02\x03\x04\x05", b"\x00\x01\x02\x03\x04\x05"),
    (8, 3, (-1, 0, 1), (-1, 0, 1)),
    (9, 1, -5, -5),
    (10, 1, (-1, 3), (-1, 3)),
    (11, 2, (0.5, -0.25), (0.5, -0.25)),
    (12, 1, 1e-9, 1e-9),
]


@pytest.mark.parametrize(("dtype", "count", "value", "read"), EVERY_TYPE)
def test_values_of_every_type(dtype, count, value, read):
    data = encode_tiff([Tag(50000, dtype, count, value), *BASE], [], IMAGE.tobytes())
    with tifffile.TiffFile(BytesIO(data)) as tiff:
        tag = tiff.pages.first.tags[50000]
        assert (int(tag.dtype), tag.count) == (dtype, count)
        assert tag.value == read
        assert np.array_equal(tiff.asarray(), IMAGE)


def test_the_exif_ifd_is_where_its_pointer_says():
    exif = [Tag(42036, 2, 9, "Acme 35m"), Tag(33434, 5, 1, (1, 48)), Tag(36864, 7, 4, b"0230")]
    for odd in ("x", "xx", "long text"):  # what comes before it has any length
        tags = [*BASE, Tag(305, 2, len(odd) + 1, odd)]
        data = encode_tiff(tags, exif, IMAGE.tobytes())
        with tifffile.TiffFile(BytesIO(data)) as tiff:
            found = tiff.pages.first.tags[34665].value
            assert np.array_equal(tiff.asarray(), IMAGE)
        assert found["ExposureTime"] == (1, 48)
        assert found["LensModel"] == "Acme 35m"


def test_every_offset_is_even():
    """TIFF 6.0: values and IFDs begin on a word boundary."""
    tags = [*BASE, Tag(305, 2, 6, "fives"), Tag(50000, 7, 7, bytes(7))]
    data = encode_tiff(tags, [Tag(42036, 2, 6, "fives")], IMAGE.tobytes())
    with tifffile.TiffFile(BytesIO(data)) as tiff:
        page = tiff.pages.first
        assert page.offset % 2 == 0
        assert page.dataoffsets[0] % 2 == 0
        assert all(tag.valueoffset % 2 == 0 for tag in page.tags if tag.valuebytecount > 4)
        assert page.tags[34665].valueoffset % 2 == 0  # for a pointer: where it points to


def test_values_that_do_not_fit_their_type():
    with pytest.raises(RawError, match="tag 50000"):
        encode_tiff([*BASE, Tag(50000, 3, 1, 65536)], [], IMAGE.tobytes())
