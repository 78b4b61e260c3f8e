"""Reads and writes `manifest.json`, and generates its JSON Schema."""

import ast
import inspect
import json
import reprlib
from itertools import pairwise

from pydantic import BaseModel, ValidationError

from rvdtool.bundle import convert
from rvdtool.bundle.fields import StrictModel
from rvdtool.bundle.manifest import FORMAT, VERSION, Manifest
from rvdtool.errors import BundleError, RawError, brief

_MOST_FIELDS = 100
"""Largest number of fields of an object; the manifest's objects have fewer."""


class _Head(BaseModel):
    """The fields that every version of the manifest has."""

    format: str
    version: int


def parse_manifest(data: bytes) -> Manifest:
    """Parse `manifest.json`.

    Raises:
        BundleError: the data isn't a manifest, is of a newer version, or has invalid values, among
            them metadata of a camera that a DNG can't contain.
    """
    try:
        said = json.loads(data, object_pairs_hook=_fields, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"manifest.json isn't valid JSON: {brief(error)}") from error
    try:
        head = _Head.model_validate(said, strict=True)
    except ValidationError as error:
        raise BundleError(
            f"manifest.json is not a bundle's manifest: {_first_problem(error)}"
        ) from error
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
        manifest = Manifest.model_validate(said)
        for entry in manifest.references:
            convert.camera_profile(entry.profile)
            convert.frame_exposure(entry.exposure)
    except ValidationError as error:
        raise BundleError(f"manifest.json is not valid: {_first_problem(error)}") from error
    except RawError as error:
        raise BundleError(f"manifest.json is not valid: {error}") from error
    return manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    """A manifest as one line of UTF-8 JSON; equal manifests give equal bytes."""
    return (json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False) + "\n").encode()


def schema_text() -> str:
    """The JSON Schema of `manifest.json`, stored as docs/formats/manifest.schema.json."""
    schema = Manifest.model_json_schema()
    models = {model.__name__: model for model in StrictModel.__subclasses__()}
    for name, part in {**schema["$defs"], "Manifest": schema}.items():
        _describe(part["properties"], models[name])
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _describe(properties: dict[str, dict[str, object]], model: type[BaseModel]) -> None:
    """Add the fields' descriptions to a model's schema: the texts below them in the source.

    pydantic can do this (`use_attribute_docstrings`), but then reads the source whenever it makes
    the models, which takes a twentieth of a second at every start.
    """
    (source,) = ast.parse(inspect.getsource(model)).body
    statements = source.body if isinstance(source, ast.ClassDef) else []
    for field, below in pairwise(statements):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            name, text = ast.unparse(field.target), ast.literal_eval(below.value)
            described = {**properties[name], "description": inspect.cleandoc(text)}
            properties[name] = dict(sorted(described.items()))


def _fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Convert an object's fields: lists become tuples, which the models require.

    pydantic's own JSON reader isn't used: it accepts duplicate fields, and copies the input for
    each error.

    Raises:
        ValueError: two fields have the same name, or there are too many.
    """
    fields = {name: _frozen(value) for name, value in pairs}
    if len(pairs) > _MOST_FIELDS:
        raise ValueError(f"an object has {len(pairs)} fields")
    if len(fields) < len(pairs):
        raise ValueError("two fields of an object have the same name")
    return fields


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _first_problem(error: ValidationError) -> str:
    """The first problem as one line: its location and what is wrong."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return brief(f"{where}: {problem['msg']}" if where else problem["msg"])
