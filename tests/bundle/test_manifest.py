"""The manifest: what is accepted and refused, and that its schema agrees."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rvdtool.bundle.manifest import Manifest
from rvdtool.bundle.manifest_json import manifest_bytes, parse_manifest, schema_text
from rvdtool.bundle.store import open_bundle
from rvdtool.errors import BundleError

SCHEMA_FILE = Path(__file__).parents[2] / "docs" / "formats" / "manifest.schema.json"
REGENERATE = """make it anew:
python -c "from rvdtool.bundle import manifest_json as m; print(m.schema_text(), end='')" > docs/formats/manifest.schema.json
"""  # noqa: E501


@pytest.fixture
def manifest(shot: Any) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(manifest_bytes(open_bundle(shot.bundle).manifest))
    return said


def parse(manifest: dict[str, Any]) -> Manifest:
    return parse_manifest(json.dumps(manifest).encode())


def test_writing_and_reading_changes_nothing(manifest: dict[str, Any]) -> None:
    parsed = parse(manifest)
    assert parse_manifest(manifest_bytes(parsed)) == parsed
    assert json.loads(manifest_bytes(parsed)) == manifest


def test_the_schema_in_docs_is_current() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == json.loads(schema_text()), REGENERATE


def test_the_schema_is_one_and_takes_what_we_write(manifest: dict[str, Any]) -> None:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(manifest, schema, jsonschema.Draft202012Validator)


def nothing(value: Any) -> None:
    del value["references"][0]["transform"]


def unknown(value: Any) -> None:
    value["video"]["colour"] = "red"


def text_for_number(value: Any) -> None:
    value["video"]["width"] = "64"


def real_for_integer(value: Any) -> None:
    value["references"][0]["white"] = 1023.5


def escape(value: Any) -> None:
    value["references"][0]["raw"]["name"] = "../first.dng"


def backslash(value: Any) -> None:
    value["references"][0]["raw"]["name"] = "..\\first.dng"


def absurd_size(value: Any) -> None:
    value["video"]["width"] = 10**9


def no_references(value: Any) -> None:
    value["references"] = []


def wrong_digest(value: Any) -> None:
    value["video"]["members"][0]["sha256"] = "0" * 63


def unknown_phase(value: Any) -> None:
    value["references"][0]["phase"] = "RGBG"


@pytest.mark.parametrize(
    "spoil",
    [
        nothing,
        unknown,
        text_for_number,
        real_for_integer,
        escape,
        backslash,
        absurd_size,
        no_references,
        wrong_digest,
        unknown_phase,
    ],
)
def test_model_and_schema_refuse_the_same(
    manifest: dict[str, Any], spoil: Callable[[Any], None]
) -> None:
    spoil(manifest)
    with pytest.raises(BundleError, match=r"manifest\.json is not valid"):
        parse(manifest)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, json.loads(schema_text()))


def frames_without_time(value: Any) -> None:
    value["video"]["frame_count"] += 1


def time_runs_backwards(value: Any) -> None:
    value["video"]["timestamps"].reverse()


def reference_after_the_end(value: Any) -> None:
    value["references"][0]["frame_index"] = 6


def same_reference_twice(value: Any) -> None:
    value["references"] *= 2


def crop_outside(value: Any) -> None:
    value["references"][0]["transform"]["crop"]["left"] = 1


def other_grid(value: Any) -> None:
    value["references"][0]["transform"]["quarter_turns"] = 1


def black_above_white(value: Any) -> None:
    value["references"][0]["black"][2] = 1023


def video_elsewhere(value: Any) -> None:
    value["video"]["members"][0]["name"] = "video/other.mp4"


def raw_elsewhere(value: Any) -> None:
    value["references"][0]["raw"]["member"]["name"] = "reference/000001.dng"


def dots_for_a_name(value: Any) -> None:
    value["references"][0]["raw"]["name"] = ".."


def too_small_for_a_dng(value: Any) -> None:
    value["video"]["height"] = 21
    value["references"][0]["transform"]["crop"]["height"] = 21


def exposure_of_a_lifetime(value: Any) -> None:
    value["references"][0]["exposure"]["time"] = {"numerator": 2**31, "denominator": 1}


def name_with_a_nul(value: Any) -> None:
    value["references"][0]["profile"]["make"] = "Ac\0me"


@pytest.mark.parametrize(
    "spoil",
    [
        too_small_for_a_dng,
        exposure_of_a_lifetime,
        name_with_a_nul,
        frames_without_time,
        time_runs_backwards,
        reference_after_the_end,
        same_reference_twice,
        crop_outside,
        other_grid,
        black_above_white,
        video_elsewhere,
        raw_elsewhere,
        dots_for_a_name,
    ],
)
def test_what_contradicts_itself_is_refused(
    manifest: dict[str, Any], spoil: Callable[[Any], None]
) -> None:
    spoil(manifest)
    with pytest.raises(BundleError, match=r"manifest\.json is not valid"):
        parse(manifest)


def test_a_newer_version_asks_for_an_update(manifest: dict[str, Any]) -> None:
    manifest["version"] = 2
    manifest["something new"] = True
    with pytest.raises(BundleError, match=r"version 2 is newer.*update"):
        parse(manifest)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff\xfe", b'{"format": "rvdtool bundle"}', b"[" * 100_000]
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        parse_manifest(data)


def test_another_format_is_named() -> None:
    with pytest.raises(BundleError, match="'lunchbox'"):
        parse_manifest(b'{"format": "lunchbox", "version": 1}')


def test_numbers_that_json_lacks_are_refused(manifest: dict[str, Any]) -> None:
    manifest["references"][0]["match_score"] = float("nan")
    with pytest.raises(BundleError):
        parse(manifest)


@pytest.mark.parametrize(
    "name",
    [
        *("C:evil.mp4", "NUL", "nul.mp4", "COM1.dng", "LPT².x", "clip.mp4.", "clip.mp4 ", "a?b"),
        *("..", ".", "", "a/b", "a\\b", "a\0b", "\ud800", "ü" * 200),
    ],
)
def test_names_that_some_system_takes_otherwise_are_refused(manifest: Any, name: str) -> None:
    manifest["references"][0]["raw"]["name"] = name
    with pytest.raises(BundleError, match=r"raw\.name"):
        parse(manifest)


def test_names_that_differ_by_case_are_refused(manifest: Any) -> None:
    video = manifest["video"]
    one = video["members"][0]
    video |= {"kind": "png_folder", "name": "frames"}
    names = [f"video/frames/{k}.png" for k in range(video["frame_count"] - 1)]
    video["members"] = [one | {"name": name} for name in [*names, names[0].replace("png", "PNG")]]
    with pytest.raises(BundleError, match="differ only in upper and lower case"):
        parse(manifest)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{"format": "a", "format": "b"}', "same name"),
        (b'{"format": NaN}', "not a number"),
        (b"[" * 100_000, "isn't valid JSON"),
        (b'{"version": ' + b"9" * 10_000 + b"}", "isn't valid JSON"),
        (b'{"format": "\xff"}', "isn't valid JSON"),
        (b"[]", "not a bundle's manifest"),
    ],
)
def test_text_that_is_no_manifest_is_refused(text: bytes, told: str) -> None:
    with pytest.raises(BundleError, match=told):
        parse_manifest(text)
