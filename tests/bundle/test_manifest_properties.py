"""What holds for any manifest, valid or not; each starts from one that pack wrote."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rvdtool.bundle import convert
from rvdtool.bundle.manifest import Manifest
from rvdtool.bundle.manifest_json import manifest_bytes, parse_manifest, schema_text
from rvdtool.bundle.store import open_bundle
from rvdtool.errors import BundleError

Json = dict[str, Any]
Place = tuple[Any, Any]
"""An object or array, and a key or index in it."""

CHECK_SCHEMA = jsonschema.Draft202012Validator(json.loads(schema_text())).validate
OFTEN = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

reals = st.floats(allow_nan=False, allow_infinity=False)
factors = st.floats(1e-9, 1e9)
rows = st.lists(reals, min_size=3, max_size=3)
int64s = st.integers(-(2**63), 2**63 - 1)
ratios = st.builds(
    lambda n, d: {"numerator": n, "denominator": d},
    st.integers(1, 2**63 - 1),
    st.integers(1, 2**63 - 1),
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
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
    """With a second RAW, which was resampled, and exposures."""
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
    """Valid ones: other sizes, times, names, levels, cameras, numbers of frames and references."""
    said = copy.deepcopy(written)
    video = said["video"]
    name = draw(names.filter(lambda name: len(name.encode()) <= 255))
    count = draw(st.integers(1, 20))
    video |= {
        "name": name,
        "timestamps": sorted(draw(st.lists(int64s, min_size=count, max_size=count))),
        "frame_count": count,
        "time_base": draw(ratios),
        "rate": draw(ratios.filter(lambda r: r["numerator"] <= 100_000 * r["denominator"])),
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
    black = st.floats(0, white, exclude_max=True)
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
        "color_matrix": draw(st.none() | st.just([[draw(reals) for _ in range(3)]] * 3)),
    }
    said["exposure"] |= {"time": draw(st.none() | ratios), "lens_model": draw(st.none() | texts)}
    return said


def places(node: Any) -> Iterator[Place]:
    """Everywhere in a JSON tree."""
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
    """What the model takes, the schema takes: a reader that has only the schema misses nothing."""
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
    """Time × ISO would be 0 or infinite, and is divided by."""
    said = copy.deepcopy(written)
    said["exposures"] |= {"time": [value] * 6, "iso": [value] * 6}
    with pytest.raises(BundleError, match="exposures"):
        parse(said)
