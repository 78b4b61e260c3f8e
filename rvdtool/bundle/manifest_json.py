"""`manifest.json` as bytes: reading, writing, and its JSON Schema."""

import json
import reprlib

from pydantic import BaseModel, ValidationError

from rvdtool.bundle.manifest import FORMAT, VERSION, Manifest
from rvdtool.errors import BundleError

_LONGEST = 300
"""Characters of a message; fields and values that it names may be of any length."""


class _Head(BaseModel):
    """What every version of the manifest says."""

    format: str
    version: int


def parse_manifest(data: bytes) -> Manifest:
    """Read `manifest.json`.

    Raises:
        BundleError: it is not a manifest, of a newer version, or says what it may not say.
    """
    try:
        head = _Head.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise BundleError(f"manifest.json is not a bundle's manifest: {_first(error)}") from error
    if head.format != FORMAT:
        raise BundleError(
            f"manifest.json has the format {reprlib.repr(head.format)}; expected {FORMAT!r}"
        )
    if head.version > VERSION:
        raise BundleError(
            f"format version {head.version} is newer than this rvdtool knows ({VERSION}); "
            f"update rvdtool"
        )
    try:
        return Manifest.model_validate_json(data)
    except ValidationError as error:
        raise BundleError(f"manifest.json is not valid: {_first(error)}") from error


def manifest_bytes(manifest: Manifest) -> bytes:
    """`manifest.json` as it is written: one line of UTF-8; the same manifest, the same bytes."""
    return (json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False) + "\n").encode()


def schema_text() -> str:
    """The JSON Schema of `manifest.json`, as docs/formats/manifest.schema.json holds it."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Manifest.model_json_schema(),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _first(error: ValidationError) -> str:
    """The first problem, in one line: where, what."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    what = f"{where}: {problem['msg']}" if where else str(problem["msg"])
    return what if len(what) <= _LONGEST else f"{what[:_LONGEST]}…"
