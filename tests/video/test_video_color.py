"""Colours compared with an independent float64 implementation of BT.601, 709 and 2020."""

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from video_clips import UNTAGGED, planes_to_frame, set_tags

from rvdtool.errors import UsageError, VideoError
from rvdtool.video.decode import Assume, probe, read_frames
from rvdtool.video.source import FileSource

PATCH = 16
COLUMNS, ROWS = 8, 6
LUMA_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}
MATRIX_TAGS = {"bt601": (5, 6), "bt709": (1,), "bt2020": (9,)}
RANGE_TAGS = {"limited": 1, "full": 2}


def reference(
    ycc: NDArray[np.integer], matrix: str, color_range: str, bits: int
) -> NDArray[np.float64]:
    """[…, 3] Y'CbCr codes → R'G'B' 0..1 (ITU-T H.273, equations 8 ff.; ITU-R BT.601, 709, 2020)."""
    y, cb, cr = (ycc[..., k].astype(np.float64) for k in range(3))
    if color_range == "limited":
        step = 2.0 ** (bits - 8)
        y, cb, cr = (y / step - 16) / 219, (cb / step - 128) / 224, (cr / step - 128) / 224
    else:
        peak = 2.0**bits - 1
        y, cb, cr = y / peak, (cb - 2 ** (bits - 1)) / peak, (cr - 2 ** (bits - 1)) / peak
    kr, kb = LUMA_WEIGHTS[matrix]
    red = y + 2 * (1 - kr) * cr
    blue = y + 2 * (1 - kb) * cb
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], -1), 0, 1)


def patches(bits: int, seed: int = 0) -> NDArray[np.integer]:
    """[ROWS, COLUMNS, 3] Y'CbCr codes, also beyond limited range; the first ones are neutral."""
    dtype = np.uint8 if bits == 8 else np.uint16
    ycc = np.random.default_rng(seed).integers(0, 2**bits, (ROWS, COLUMNS, 3))
    step = 2 ** (bits - 8)
    neutral = 128 * step
    ycc[0, :5, 1:] = neutral
    ycc[0, :5, 0] = 0, 16 * step, 126 * step, 235 * step, 2**bits - 1
    return ycc.astype(dtype)


def write_patches(
    path: Path, ycc: NDArray[np.integer], pixel_format: str, tags: dict[str, int]
) -> Path:
    """A lossless clip of one frame."""
    full = ycc.repeat(PATCH, 0).repeat(PATCH, 1)
    chroma_rows = 2 if "420" in pixel_format else 1
    chroma_columns = 1 if "444" in pixel_format else 2
    planes = [full[..., 0], *(full[::chroma_rows, ::chroma_columns, k] for k in (1, 2))]
    frame = planes_to_frame(planes, pixel_format)
    set_tags(frame, tags)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = full.shape[:2]
        stream.pix_fmt = pixel_format
        set_tags(stream.codec_context, tags)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded_patches(path: Path, assume: Assume = Assume()) -> NDArray[np.integer]:
    """[ROWS, COLUMNS, 3]: the centres of the patches, far from chroma interpolation."""
    source = FileSource(path)
    (frame,) = read_frames(source, probe(source, assume))
    return frame.rgb[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH]


def error_in_codes(rgb: NDArray[np.integer], expected: NDArray[np.float64], bits: int) -> float:
    """The largest difference, in codes of the stream."""
    peak = 255 if rgb.dtype == np.uint8 else 65535
    return float(np.abs(rgb / peak - expected).max() * (2**bits - 1))


FORMATS = [
    ("yuv420p", 8),
    ("yuv422p", 8),
    ("yuv444p", 8),
    ("yuv420p10le", 10),
    ("yuv422p10le", 10),
    ("yuv444p12le", 12),
    ("yuv444p16le", 16),
]
# swscale works with 14-bit coefficients, so that at 16 bits a code is out of its reach.
TOLERANCE = {8: 1, 10: 1, 12: 1, 16: 16}


@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
@pytest.mark.parametrize("color_range", RANGE_TAGS)
@pytest.mark.parametrize(("pixel_format", "bits"), FORMATS)
def test_tagged_patches(
    matrix: str, color_range: str, pixel_format: str, bits: int, tmp_path: Path
) -> None:
    ycc = patches(bits)
    expected = reference(ycc, matrix, color_range, bits)
    for tag in MATRIX_TAGS[matrix]:
        tags = {"colorspace": tag, "color_range": RANGE_TAGS[color_range]}
        path = write_patches(tmp_path / f"{tag}.mkv", ycc, pixel_format, tags)
        rgb = decoded_patches(path)
        assert rgb.dtype == (np.uint8 if bits == 8 else np.uint16)
        assert error_in_codes(rgb, expected, bits) <= TOLERANCE[bits]


@pytest.mark.parametrize("matrix", LUMA_WEIGHTS)
@pytest.mark.parametrize("color_range", RANGE_TAGS)
@pytest.mark.parametrize(("pixel_format", "bits"), [("yuv420p", 8), ("yuv422p10le", 10)])
@pytest.mark.parametrize("tag", [UNTAGGED, 1])
def test_the_users_override_takes_precedence_over_tags(
    matrix: str, color_range: str, pixel_format: str, bits: int, tag: int, tmp_path: Path
) -> None:
    ycc = patches(bits)
    path = write_patches(tmp_path / "clip.mkv", ycc, pixel_format, {"colorspace": tag})
    assume = Assume(matrix=matrix, range=color_range)
    color = probe(FileSource(path), assume).color
    assert (color.matrix.value, color.matrix.source) == (matrix, "user")
    assert (color.range.value, color.range.source) == (color_range, "user")
    expected = reference(ycc, matrix, color_range, bits)
    assert error_in_codes(decoded_patches(path, assume), expected, bits) <= 1


def test_untagged_small_video_is_bt601_limited(tmp_path: Path) -> None:
    ycc = patches(8)
    path = write_patches(tmp_path / "sd.mkv", ycc, "yuv420p", {})
    color = probe(FileSource(path)).color
    assert [(t.value, t.source) for t in (color.matrix, color.range)] == [
        ("bt601", "assumed"),
        ("limited", "assumed"),
    ]
    assert [(t.value, t.source) for t in (color.transfer, color.primaries)] == [
        ("bt709", "assumed"),
        ("bt709", "assumed"),
    ]
    expected = reference(ycc, "bt601", "limited", 8)
    assert error_in_codes(decoded_patches(path), expected, 8) <= 1


def test_untagged_hd_video_is_bt709_limited(tmp_path: Path) -> None:
    ycc = np.concatenate([patches(8, seed)[:, :1] for seed in range(8)])[:45]
    assert ycc.shape[0] * PATCH == 720
    path = write_patches(tmp_path / "hd.mkv", ycc, "yuv420p", {})
    color = probe(FileSource(path)).color
    assert (color.matrix.value, color.matrix.source) == ("bt709", "assumed")
    expected = reference(ycc, "bt709", "limited", 8)
    assert error_in_codes(decoded_patches(path), expected, 8) <= 1


@pytest.mark.parametrize("suffix", [".avi", ".mov"])
@pytest.mark.parametrize("color_range", RANGE_TAGS)
def test_mjpeg_is_full_range_unless_the_user_says_otherwise(
    suffix: str, color_range: str, tmp_path: Path
) -> None:
    grey = np.full((ROWS, COLUMNS, 3), 128, np.uint8)
    grey[..., 0] = np.linspace(20, 230, COLUMNS)
    full = grey.repeat(PATCH, 0).repeat(PATCH, 1)
    path = tmp_path / f"jpeg{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25, options={"qscale": "1"})
        stream.height, stream.width = full.shape[:2]
        stream.pix_fmt = "yuvj420p"
        planes = [full[..., 0], full[::2, ::2, 1], full[::2, ::2, 2]]
        container.mux(stream.encode(planes_to_frame(planes, "yuvj420p")))
        container.mux(stream.encode(None))
    assert probe(FileSource(path)).color.range.value == "full"
    assume = Assume() if color_range == "full" else Assume(range="limited")
    expected = reference(grey, "bt601", color_range, 8)
    # JPEG itself may be off by one code of luma, which limited range stretches.
    assert error_in_codes(decoded_patches(path, assume), expected, 8) <= 2.2


@pytest.mark.parametrize(
    ("pixel_format", "bits"), [("gbrp", 8), ("gbrp10le", 10), ("gbrp16le", 16)]
)
def test_rgb_video_has_no_matrix(pixel_format: str, bits: int, tmp_path: Path) -> None:
    rgb = patches(bits)
    full = rgb.repeat(PATCH, 0).repeat(PATCH, 1)
    path = tmp_path / "rgb.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = full.shape[:2]
        stream.pix_fmt = "bgr0" if bits == 8 else pixel_format
        frame = planes_to_frame([full[..., k] for k in (1, 2, 0)], pixel_format)
        container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))
    color = probe(FileSource(path)).color
    assert [(t.value, t.source) for t in (color.matrix, color.range)] == [
        ("rgb", "stream"),
        ("full", "stream"),
    ]
    found = decoded_patches(path)
    assert error_in_codes(found, rgb / (2.0**bits - 1), bits) <= (0.02 if bits > 8 else 0)
    for assume in (Assume(matrix="bt709"), Assume(range="limited")):
        with pytest.raises(UsageError, match="RGB video"):
            probe(FileSource(path), assume)


def test_alpha_is_left_out(tmp_path: Path) -> None:
    ycc = patches(8)
    path = write_patches(tmp_path / "opaque.mkv", ycc, "yuv444p", {"colorspace": 1})
    full = ycc.repeat(PATCH, 0).repeat(PATCH, 1)
    alpha = tmp_path / "alpha.mkv"
    with av.open(str(alpha), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = full.shape[:2]
        stream.pix_fmt = "yuva444p"
        set_tags(stream.codec_context, {"colorspace": 1})
        planes = [*(full[..., k] for k in range(3)), np.full(full.shape[:2], 40, np.uint8)]
        container.mux(stream.encode(planes_to_frame(planes, "yuva444p")))
        container.mux(stream.encode(None))
    np.testing.assert_array_equal(decoded_patches(alpha), decoded_patches(path))


SDR = {"colorspace": 1, "color_range": 1, "color_trc": 1, "color_primaries": 1}


@pytest.mark.parametrize(
    ("tags", "names", "override"),
    [
        ({"color_trc": 16}, "transfer.*smpte2084", {"transfer": "bt709"}),
        ({"color_trc": 18}, "transfer.*arib-std-b67", {"transfer": "bt2020-10"}),
        ({"color_trc": 8}, "transfer.*linear", {"transfer": "iec61966-2-1"}),
        ({"color_trc": 10}, "transfer.*log", {"transfer": "bt709"}),
        ({"color_primaries": 9}, "primaries.*bt2020", {"primaries": "bt709"}),
        ({"color_primaries": 11}, "primaries.*DCI-P3", {"primaries": "bt709"}),
        ({"color_primaries": 12}, "primaries.*Display P3", {"primaries": "bt709"}),
        ({"colorspace": 8}, "matrix.*ycgco", {"matrix": "bt709"}),
        ({"colorspace": 10}, "matrix.*bt2020c", {"matrix": "bt2020"}),
        ({"colorspace": 15}, "matrix.*code 15", {"matrix": "bt709"}),
    ],
)
def test_video_that_is_not_sdr_is_refused_unless_overridden(
    tags: dict[str, int], names: str, override: dict[str, str], tmp_path: Path
) -> None:
    ycc = patches(10)
    path = write_patches(tmp_path / "clip.mkv", ycc, "yuv420p10le", SDR | tags)
    (option,) = override
    with pytest.raises(VideoError, match=f"{names}.*--assume {option}="):
        probe(FileSource(path))
    info = probe(FileSource(path), Assume(**override))
    tag = getattr(info.color, option)
    assert (tag.value, tag.source) == (override[option], "user")


def test_overridden_hdr_decodes_like_sdr(tmp_path: Path) -> None:
    """No step may convert transfer or primaries silently."""
    ycc = patches(10)
    hdr = {"colorspace": 9, "color_range": 1, "color_trc": 16, "color_primaries": 9}
    path = write_patches(tmp_path / "hdr.mkv", ycc, "yuv420p10le", hdr)
    assume = Assume(transfer="bt709", primaries="bt709")
    expected = reference(ycc, "bt2020", "limited", 10)
    assert error_in_codes(decoded_patches(path, assume), expected, 10) <= 1


def test_hdr_metadata_without_a_transfer_is_refused(tmp_path: Path) -> None:
    mastering = (
        "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    )
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as container:
        options = {
            "x265-params": f"log-level=none:pools=none:bframes=0:{mastering}:max-cll=1000,400"
        }
        stream = container.add_stream("libx265", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p10le")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="HDR"):
        probe(FileSource(path))
    assert probe(FileSource(path), Assume(transfer="bt709")).color.transfer.source == "user"


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mov", "prores_ks")])
def test_tags_of_real_containers_are_read(suffix: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip{suffix}"
    pixel_format = "yuv420p" if codec == "libx264" else "yuv422p10le"
    tags = {"colorspace": 6, "color_range": 1, "color_trc": 6, "color_primaries": 6}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        set_tags(stream.codec_context, tags)
        frame = av.VideoFrame(64, 48, pixel_format)
        set_tags(frame, tags)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    color = probe(FileSource(path)).color
    assert (color.matrix.value, color.matrix.source) == ("bt601", "stream")
    assert (color.transfer.value, color.transfer.source) == ("smpte170m", "stream")
    assert (color.primaries.value, color.primaries.source) == ("smpte170m", "stream")


def test_the_containers_tags_are_used_if_frames_have_none(tmp_path: Path) -> None:
    """ProRes has its own tags, which may be empty while the MOV's aren't."""
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv422p10le"
        set_tags(stream.codec_context, SDR)
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuv422p10le")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        (frame,) = container.decode(video=0)
        assert (frame.colorspace, frame.color_trc, frame.color_primaries) == (2, 2, 2)
    color = probe(FileSource(path)).color
    for tag in (color.matrix, color.transfer, color.primaries):
        assert (tag.value, tag.source) == ("bt709", "stream")


def test_the_frames_tags_take_precedence_over_the_containers(tmp_path: Path) -> None:
    """JPEG is BT.601, whatever the MOV's tags say."""
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        set_tags(stream.codec_context, SDR | {"color_range": 2})
        container.mux(stream.encode(av.VideoFrame(64, 48, "yuvj420p")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.colorspace == 1
    color = probe(FileSource(path)).color
    assert (color.matrix.value, color.matrix.source) == ("bt601", "stream")


def test_assume_parses_the_options_syntax() -> None:
    assert Assume.parse("matrix=bt709, range=full") == Assume(matrix="bt709", range="full")
    assert Assume.parse("transfer=bt709,primaries=smpte170m") == Assume(
        transfer="bt709", primaries="smpte170m"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("matrix=bt710", "bt709, bt601, bt2020"),
        ("range=tv", "limited, full"),
        ("transfer=smpte2084", "iec61966-2-1"),
        ("primaries=bt2020", "smpte170m"),
        ("gamma=2.2", "matrix, range, transfer, primaries"),
        ("bt709", "NAME=VALUE"),
        ("", "NAME=VALUE"),
        ("matrix=bt709,,range=full", "NAME=VALUE"),
        ("range=full,range=full", "twice"),
    ],
)
def test_errors_of_assume_list_the_allowed_values(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Assume.parse(text)
