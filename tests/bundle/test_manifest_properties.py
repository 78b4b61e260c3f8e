"""Properties of all manifests, valid or not; each is made from one that pack wrote."""

import copy
import io
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import jsonschema
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rvdtool.bundle import convert
from rvdtool.bundle.manifest import Manifest
from rvdtool.bundle.manifest_json import manifest_bytes, parse_manifest, schema_text
from rvdtool.bundle.store import open_bundle
from rvdtool.errors import BundleError
from rvdtool.raw.carried import CARRIED
from rvdtool.raw.dng import SMALLEST, Compression, encode_dng
from rvdtool.raw.frame import RawFrame, is_rational
from rvdtool.raw.read import read_raw
from rvdtool.raw.tiff import encode_value

Json = dict[str, Any]
Place = tuple[Any, Any]
"""An object or array, and a key or index in it."""

CHECK_SCHEMA = jsonschema.Draft202012Validator(json.loads(schema_text())).validate
OFTEN = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

FEWER = settings(OFTEN, max_examples=100)

reals = st.floats(allow_nan=False, allow_infinity=False)
colors = st.floats(-(2**31), 2**31, exclude_min=True, exclude_max=True)
factors = st.floats(1e-9, 1e9)
rows = st.lists(reals, min_size=3, max_size=3)
int64s = st.integers(-(2**63), 2**63 - 1)
ratios = st.builds(
    lambda n, d: {"numerator": n, "denominator": d},
    st.integers(1, 2**63 - 1),
    st.integers(1, 2**63 - 1),
)
times = ratios.filter(lambda r: is_rational(Fraction(r["numerator"], r["denominator"])))
rates = ratios.filter(lambda r: 1 <= 100_000 * r["numerator"] / r["denominator"] <= 100_000**2)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
DEVICES = ("CON", "PRN", "AUX", "NUL", "COM", "LPT")
names = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters='<>:"/\\|?*'),
    min_size=1,
    max_size=60,
).filter(lambda name: name[-1] not in ". " and name[:3].upper() not in DEVICES)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 2**16, 10**9, 2**63, 10**40]),
    st.floats(),
    texts,
    st.sampled_from(["..", "../x", "/etc/x", "a\0b", "RGBG", "0" * 64]),
    st.sampled_from([[], {}, [[]], [0, 0, 0], {"kind": "numbers"}]),
)


@pytest.fixture(scope="module")
def written(shot: Any) -> Json:
    """A manifest with a second, resampled RAW, and exposures."""
    said: Json = json.loads(manifest_bytes(open_bundle(shot.bundle).manifest))
    other = copy.deepcopy(said["references"][0])
    other["frame_index"] = 3
    other["raw"]["member"]["name"] = "reference/000003.dng"
    other["planes"]["member"]["name"] = "reference/000003.planes.tiff"
    sizes = {"sensor_height": 100, "sensor_width": 130, "grid_height": 48, "grid_width": 64}
    matrix = [[2.0, 0.1, 3.5], [-0.1, 2.0, 1.0], [1e-5, 0.0, 1.0]]
    other["transform"] = {"kind": "homography", **sizes, "matrix": matrix, "lens": [-0.1, 0.02]}
    said["references"].append(other)
    balance = [[2.0, 1.0, 1.5]] * 6
    said["exposures"] = {"time": [0.02] * 6, "iso": [1e2] * 6, "gain": None}
    said["exposures"]["white_balance"] = balance
    return said


@st.composite
def manifests(draw: st.DrawFn, written: Json) -> Json:
    """Valid manifests with other sizes, times, names, levels, cameras, numbers of frames and
    references."""
    said = copy.deepcopy(written)
    video = said["video"]
    name = draw(names.filter(lambda name: len(name.encode()) <= 255))
    count = draw(st.integers(1, 20))
    video |= {
        "name": name,
        "timestamps": sorted(draw(st.lists(int64s, min_size=count, max_size=count))),
        "frame_count": count,
        "time_base": draw(ratios),
        "rate": draw(rates),
        "rotation": draw(st.sampled_from([0, 90, 180, 270])),
        "codec": draw(texts),
        "members": [draw(members(f"video/{name}"))],
    }
    if draw(st.booleans()):
        video["kind"] = "png_folder"
        video["members"] = [draw(members(f"video/{name}/{k}.png")) for k in range(count)]
    indices = sorted(draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=4)))
    said["references"] = [
        draw(references(draw(st.sampled_from(written["references"])), k)) for k in indices
    ]
    column = st.none() | st.lists(factors, min_size=count, max_size=count)
    triples = st.lists(factors, min_size=3, max_size=3)
    said["exposures"] = (
        None
        if draw(st.booleans())
        else {
            **{name: draw(column) for name in ("time", "iso", "gain")},
            "white_balance": draw(st.none() | st.lists(triples, min_size=count, max_size=count)),
        }
    )
    return said


@st.composite
def members(draw: st.DrawFn, name: str) -> Json:
    return {"name": name, "size": draw(st.integers(1, 2**63 - 1)), "sha256": draw(digests)}


@st.composite
def references(draw: st.DrawFn, written: Json, index: int) -> Json:
    said = copy.deepcopy(written)
    stem = f"reference/{index:06d}"
    said["frame_index"] = index
    said["raw"] |= {"name": draw(names), "member": draw(members(f"{stem}.nef"))}
    said["planes"]["member"] = draw(members(f"{stem}.planes.tiff"))
    bits = draw(st.integers(2, 16))
    white = draw(st.integers(2, 2**bits - 1))
    black = st.floats(0, white - 1)
    said |= {
        "bits": bits,
        "white": white,
        "black": [draw(black) for _ in range(4)],
        "phase": draw(st.sampled_from(["RGGB", "BGGR", "GRBG", "GBRG"])),
        "orientation": draw(st.integers(1, 8)),
        "match_score": draw(st.floats(-1, 1)),
    }
    if said["transform"]["kind"] == "homography":
        last = [draw(factors) for _ in range(3)]  # above 0 everywhere
        said["transform"]["matrix"] = [draw(rows), draw(rows), last]
        terms = st.floats(-1, 1)
        said["transform"]["lens"] = draw(st.none() | st.tuples(terms, terms).map(list))
    said["profile"] |= {
        "make": draw(texts),
        "unique_model": draw(names),
        "color_matrix": draw(st.none() | st.just([[draw(colors) for _ in range(3)]] * 3)),
    }
    said["exposure"] |= {"time": draw(st.none() | times), "lens_model": draw(st.none() | texts)}
    return said


def places(node: Any) -> Iterator[Place]:
    """All positions in a JSON tree."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from places(node[key])


def parse(said: Json) -> Manifest:
    return parse_manifest(json.dumps(said).encode())


def test_older_bundles_say_nothing_of_a_lens(written: Json) -> None:
    said = copy.deepcopy(written)
    del said["references"][1]["transform"]["lens"]
    transform = parse(said).references[1].transform
    assert transform.kind == "homography"
    assert transform.lens is None


@OFTEN
@given(data=st.data())
def test_any_valid_manifest_survives(data: st.DataObject, written: Json) -> None:
    said = data.draw(manifests(written))
    parsed = parse(said)
    again = manifest_bytes(parsed)
    assert parse_manifest(again) == parsed
    assert manifest_bytes(parse_manifest(again)) == again
    assert json.loads(again) == said
    CHECK_SCHEMA(said)
    # … and so do the types of the other packages that are made of it
    video = parsed.video
    info = convert.video_info(video)
    entry = convert.video_entry(info, kind=video.kind, name=video.name, members=video.members)
    assert convert.video_info(entry) == info


@OFTEN
@given(data=st.data(), value=values)
def test_a_value_replaced_is_valid_or_refused(
    data: st.DataObject, value: Any, written: Json
) -> None:
    """Whatever the model accepts, the schema accepts, so a reader with only the schema reads all
    bundles."""
    said = copy.deepcopy(written)
    node, key = data.draw(st.sampled_from(list(places(said))))
    node[key] = value
    try:
        parsed = parse(said)
    except BundleError as error:
        told = str(error)
    else:
        told = ""
        assert parse_manifest(manifest_bytes(parsed)) == parsed
        CHECK_SCHEMA(said)
    assert "\n" not in told
    assert len(told) < 500


EXTREMES = (0, -1, 1, 21, 65_535, 2**31, 2**32, 10**30, 0.5, 1e-300, -1e300, 2.0**-31, 2.0**31)
numbers = st.one_of(factors, st.sampled_from(EXTREMES))
wholes = st.one_of(st.integers(1, 10_000), st.sampled_from([0, -1, 2**31, 2**32 - 1, 2**63 - 1]))
fractions = st.builds(lambda n, d: {"numerator": n, "denominator": d}, wholes, wholes)
said_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@st.composite
def tag_entries(draw: st.DrawFn) -> Json:
    """Tags copied from a camera's file, in valid and invalid forms."""
    code = draw(st.sampled_from(sorted(CARRIED)))
    form = CARRIED[code]
    count = draw(st.sampled_from(form.counts or (form.unit, 2 * form.unit, 1, 7)))
    right = {"integer": 3, "rational": 10, "real": 11, "text": 2, "bytes": 7}[form.kind]
    dtype = draw(st.sampled_from([right, right, right, 1, 2, 4, 5, 12]))
    value: Json = {"kind": "hex", "hex": draw(st.binary(min_size=count, max_size=count)).hex()}
    if form.kind == "text":
        text = draw(said_texts)
        count, value = len(text.encode()) + 1, {"kind": "text", "text": text}
    elif form.kind != "bytes":
        size = count * (2 if dtype in (5, 10) else 1)
        kind = numbers if form.kind == "real" else st.integers(-2, 70_000)
        value = {"kind": "numbers", "numbers": [draw(kind) for _ in range(size)]}
    return {"code": code, "dtype": dtype, "count": count, "value": value}


@st.composite
def cameras(draw: st.DrawFn, written: Json) -> Json:
    """Cameras and exposures in a manifest, valid or not."""
    said = copy.deepcopy(written)
    reference = said["references"][0]
    rows = st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=3, max_size=3)
    profile: dict[str, st.SearchStrategy[Any]] = {
        "make": said_texts,
        "model": said_texts,
        "unique_model": said_texts,
        "as_shot_neutral": st.lists(numbers, min_size=3, max_size=3),
        "color_matrix": st.none() | rows,
        "illuminant": st.integers(0, 65_535),
        "tags": st.lists(tag_entries(), max_size=2),
    }
    exposure: dict[str, st.SearchStrategy[Any]] = {
        "time": fractions,
        "f_number": fractions,
        "iso": st.none() | wholes,
        "focal_length": fractions,
        "lens_model": said_texts,
        "date_time_original": said_texts,
    }
    levels: dict[str, st.SearchStrategy[Any]] = {
        "black": st.lists(st.floats(0, 70), min_size=4, max_size=4),
        "white": st.sampled_from([1, 64, 70, 1023, 65_535]),
        "bits": st.sampled_from([1, 7, 10, 16]),
        "orientation": st.integers(1, 8),
    }
    for part, known in (
        (reference["profile"], profile),
        (reference["exposure"], exposure),
        (reference, levels),
        (said["video"], {"rate": fractions}),
    ):
        # A few at a time: else one that is wrong would nearly always refuse them all.
        for field in draw(st.sets(st.sampled_from(sorted(known)), max_size=2)):
            part[field] = draw(known[field])
    return said


@FEWER
@given(data=st.data())
def test_what_a_manifest_may_say_of_a_camera_can_be_written_as_a_dng(
    data: st.DataObject, written: Json, tmp_path: Path
) -> None:
    try:
        manifest = parse(data.draw(cameras(written)))
    except BundleError:
        return
    rate = convert.video_info(manifest.video).rate
    compression = data.draw(st.sampled_from(get_args(Compression)))
    frame = convert.raw_frame(manifest.references[0], np.zeros((SMALLEST, SMALLEST), np.uint16))
    dng = encode_dng(frame, compression=compression, rate=rate)
    require_said(frame, rate, dng)
    path = tmp_path / "a.dng"
    path.write_bytes(dng)
    again = read_raw(path)
    assert again.black == pytest.approx(frame.black, rel=1e-6, abs=1e-4)
    assert (again.white, again.orientation) == (frame.white, frame.orientation)


def require_said(frame: RawFrame, rate: Fraction, dng: bytes) -> None:
    """Check that tifffile finds the frame's values in a DNG."""
    with tifffile.TiffFile(io.BytesIO(dng)) as tiff:
        tags = tiff.pages.first.tags
        exif = tags["ExifTag"].value
    profile, exposure = frame.profile, frame.exposure
    for tag in profile.tags:
        found = tags[tag.code]
        data = encode_value(tag)
        assert (found.dtype, found.count) == (tag.dtype, tag.count)
        assert dng[found.valueoffset :][: len(data)] == data
    for code, text in ((271, profile.make), (272, profile.model), (50708, profile.unique_model)):
        if text:
            data = text.encode() + b"\0"
            assert dng[tags[code].valueoffset :][: len(data)] == data
    assert tags[50717].value == frame.white
    assert tags[274].value == frame.orientation
    assert ratios_of(tags[50728].value) == pytest.approx(profile.as_shot_neutral, rel=1e-5)
    assert ratios_of(tags[51044].value) == pytest.approx([float(rate)], rel=1e-5)
    if profile.color_matrix:
        matrix = [value for row in profile.color_matrix for value in row]
        assert ratios_of(tags[50721].value) == pytest.approx(matrix, rel=1e-5, abs=1e-9)
        assert tags[50778].value == profile.illuminant
    for name, value in (
        ("ExposureTime", exposure.time),
        ("FNumber", exposure.f_number),
        ("FocalLength", exposure.focal_length),
    ):
        if value is not None:
            assert ratios_of(exif[name]) == pytest.approx([float(value)], rel=1e-5)
    if exposure.iso is not None:
        assert exif["ISOSpeedRatings"] == min(exposure.iso, 65_535)  # which means: or more
    for name, text in (
        ("LensModel", exposure.lens_model),
        ("DateTimeOriginal", exposure.date_time_original),
    ):
        if text:
            assert exif[name] == text.strip()


def ratios_of(parts: tuple[int, ...]) -> list[float]:
    return [above / below for above, below in zip(parts[::2], parts[1::2], strict=True)]


OPTIONAL = {
    "exposures",
    "dropped",
    "lens",
    "stream",
    "sample_aspect",
    "taken_as_progressive",
    "undecodable",
}
"""Few cameras tell them; older manifests have none of the others."""


def test_every_field_is_needed(written: Json) -> None:
    for number in range(len(list(places(written)))):
        said = copy.deepcopy(written)
        node, key = list(places(said))[number]
        if isinstance(node, dict) and key not in OPTIONAL:
            del node[key]
            with pytest.raises(BundleError):
                parse(said)


@pytest.mark.parametrize(("where", "value"), [("version", True), ("rotation", False)])
def test_truth_values_are_no_numbers(where: str, value: bool, written: Json) -> None:
    said = copy.deepcopy(written)
    (said["video"] if where == "rotation" else said)[where] = value
    with pytest.raises(BundleError):
        parse(said)


def test_no_field_may_be_added_anywhere(written: Json) -> None:
    for number in range(len(list(places(written)))):
        said = copy.deepcopy(written)
        node, key = list(places(said))[number]
        if isinstance(node[key], dict):
            node[key]["colour"] = 1
            with pytest.raises(BundleError, match="colour"):
                parse(said)


@OFTEN
@given(data=st.data())
def test_damaged_text_is_refused_or_says_the_same_kind_of_thing(
    data: st.DataObject, written: Json
) -> None:
    text = bytearray(json.dumps(written).encode())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place : place + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
    try:
        parsed = parse_manifest(bytes(text))
    except BundleError:
        return
    assert parse_manifest(manifest_bytes(parsed)) == parsed


@pytest.mark.parametrize("count", [10**9, 1_000_001])
def test_absurd_numbers_of_frames_are_refused(written: Json, count: int) -> None:
    said = copy.deepcopy(written)
    said["video"]["frame_count"] = count
    with pytest.raises(BundleError, match="frame_count"):
        parse(said)
    said["video"]["frame_count"] = 1_000_000  # allowed, but where are their timestamps?
    with pytest.raises(BundleError, match="6 timestamps for 1000000 frames"):
        parse(said)


@pytest.mark.parametrize("value", [1e-200, 1e200])
def test_exposures_whose_product_is_no_number_are_refused(written: Json, value: float) -> None:
    """Time × ISO would be 0 or infinite, but something is divided by it."""
    said = copy.deepcopy(written)
    said["exposures"] |= {"time": [value] * 6, "iso": [value] * 6}
    with pytest.raises(BundleError, match="exposures"):
        parse(said)
