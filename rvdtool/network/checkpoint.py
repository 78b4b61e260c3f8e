"""Trained networks as folders: `config.json` (readable) and `weights.safetensors`.

The network is built from the model's configuration, and the weights are checked strictly: none may
be missing or unknown, and each needs the right shape and finite values. A model contains no code,
and no more bytes are read than its configuration allows, so folders from untrusted sources are
safe to load.

    {"format": 2, "kind": "fagdn", "config": {…}, "weights_sha256": "…", "training": {…}}

`kind` is the kind of network, `config` are the fields of its configuration, and `training`
(optional, free-form) describes how the weights were trained.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from torch import Tensor, nn

from rvdtool.errors import ModelError, OutputError, UsageError, brief
from rvdtool.files import describe, write_beside
from rvdtool.network import KINDS

FORMAT: Final = 2
CONFIG_FILE: Final = "config.json"
WEIGHTS_FILE: Final = "weights.safetensors"
MAX_CONFIG_BYTES: Final = 2**20
MAX_HEADER_BYTES_PER_TENSOR: Final = 1024
"""Upper bound for safetensors' header entry of one tensor: name, dtype, shape, two offsets."""

_KINDS_OF_FORMAT_1: Final = {"published": "fagdn", "fagdn": "fagdn-calibrated"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DTYPES = {torch.float32: "F32", torch.int64: "I64"}
"""The dtypes of weights and counters, and safetensors' names for them."""


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, ready to run.

    Attributes:
        name: name of the model's folder.
        kind: kind of network, a key of `rvdtool.network.KINDS`.
        config: the fields of the network's configuration.
        network: in evaluation mode, on the CPU, float32.
        sha256: hash of the weights file.
        training: how the weights were trained; empty if unknown.
    """

    name: str
    kind: str
    config: Mapping[str, JsonValue]
    network: nn.Module
    sha256: str
    training: Mapping[str, JsonValue]


class _Description(BaseModel):
    """`config.json`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    format: Literal[1, 2]
    kind: str
    config: dict[str, JsonValue]
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    training: dict[str, JsonValue] | None = None


def shipped_models() -> Path:
    """The folder of the models that come with rvdtool.

    In a checkout (also an editable installation) it is beside the package, in a wheel inside it.
    """
    package = Path(__file__).parents[1]
    inside = package / "models"
    return inside if inside.is_dir() else package.parent / "models"


def list_models() -> list[str]:
    """The names of the models that come with rvdtool, sorted."""
    return sorted(path.parent.name for path in shipped_models().glob(f"*/{CONFIG_FILE}"))


def load_model(name_or_folder: str | Path) -> Model:
    """Load a trained network.

    Args:
        name_or_folder: a name from `list_models`, or a folder.

    Raises:
        ModelError: there is no such model, or its files are damaged, altered, of an unknown
            format, or don't belong together.
    """
    folder = _find(name_or_folder)
    description = _read_description(folder / CONFIG_FILE)
    where = str(folder)
    expected = _shapes(description.kind, description.config, where)
    data = _read_weights(folder / WEIGHTS_FILE, expected)
    found = hashlib.sha256(data).hexdigest()
    if found != description.weights_sha256:
        raise ModelError(
            f"{folder / WEIGHTS_FILE}: its SHA-256 is {found}, but {CONFIG_FILE} says "
            f"{description.weights_sha256}; the file was altered or belongs to another model"
        )
    state = _parse_weights(data, expected, folder / WEIGHTS_FILE)
    network = build_network(description.kind, description.config, where)
    network.load_state_dict(state, strict=True)
    return Model(
        name=folder.resolve().name,
        kind=description.kind,
        config=MappingProxyType(description.config),
        network=network.eval(),
        sha256=found,
        training=MappingProxyType(description.training or {}),
    )


def save_model(
    folder: Path,
    kind: str,
    config: Mapping[str, JsonValue],
    state: Mapping[str, Tensor],
    *,
    training: Mapping[str, JsonValue] | None = None,
    overwrite: bool = False,
) -> None:
    """Save a trained network as a folder for `load_model`.

    Each file is written to a temporary file and renamed, the configuration last. If the process is
    killed in between, the folder is refused by `load_model`, since the configuration states the
    weights' hash.

    Args:
        folder: created if it doesn't exist; other files in it (a model card) are kept.
        kind, config, training: see `Model`; `training` must be valid JSON.
        state: the network's `state_dict()`, on any device.
        overwrite: replace an existing model.

    Raises:
        UsageError: `config`, `state` or `training` is invalid.
        OutputError: the folder has a model already (without `overwrite`), or can't be written.
    """
    try:
        expected = _shapes(kind, config, "this model")
        check_weights(state, expected, "this model")
        header = {"format": FORMAT, "kind": kind, "config": dict(config)}
        weights = {key: value.detach().cpu().contiguous() for key, value in state.items()}
        data = safetensors.torch.save(weights)
        described = header | {"weights_sha256": hashlib.sha256(data).hexdigest()}
        described |= {} if training is None else {"training": dict(training)}
        text = json.dumps(described, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (ModelError, TypeError, ValueError) as error:
        raise UsageError(f"{folder}: not saved: {error}") from error
    if not overwrite and (folder / CONFIG_FILE).exists():
        raise OutputError(
            f"{folder}: already contains a model; choose another name, or use --overwrite"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be created: {describe(error)}") from error
    for file, content in ((WEIGHTS_FILE, data), (CONFIG_FILE, text.encode())):
        # Weights without a configuration come from an interrupted run and may be replaced.
        with write_beside(folder / file, overwrite=overwrite or file == WEIGHTS_FILE) as out:
            out.write(content)


def build_network(kind: str, config: Mapping[str, JsonValue], where: str) -> nn.Module:
    """Build a network with randomly initialised weights.

    Args:
        kind: kind of network, a key of `rvdtool.network.KINDS`.
        config: the fields of its configuration.
        where: source of the configuration, for error messages.

    Raises:
        ModelError: the kind is unknown, or the configuration is invalid.
    """
    if kind not in KINDS:
        raise ModelError(f"{where}: kind is one of {', '.join(KINDS)}; got {brief(kind)!r}")
    module_name, config_name, network_name = KINDS[kind]
    module = import_module(module_name)
    config_type, network_type = getattr(module, config_name), getattr(module, network_name)
    try:
        names = {field.name for field in fields(config_type)}
        _require_same(names, set(config), f"config of kind {kind!r}")
        # Validated as JSON, where lists are accepted for tuples, but strings not for numbers.
        parsed: object = TypeAdapter(config_type).validate_json(
            json.dumps(dict(config)), strict=True
        )
        return network_type(parsed)
    except ValidationError as error:
        raise ModelError(f"{where}: config is not valid: {_first(error)}") from error
    except ModelError as error:
        raise ModelError(f"{where}: {error}") from error
    except (TypeError, ValueError, RuntimeError, MemoryError, OverflowError) as error:
        raise ModelError(
            f"{where}: no network can be built from its config: {brief(error)}"
        ) from error


def check_weights(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Check that `state` has the names, shapes and types of `expected`, and only finite numbers.

    Raises:
        ModelError: a check fails.
    """
    _require_same(set(expected), set(state), f"{where}: weights")
    for key, tensor in state.items():
        shape, wanted = list(tensor.shape), list(expected[key].shape)
        if shape != wanted:
            raise ModelError(f"{where}: {key} has shape {shape}; its config requires {wanted}")
        if tensor.dtype != expected[key].dtype:
            raise ModelError(f"{where}: {key} is {tensor.dtype}, not {expected[key].dtype}")
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"{where}: {key} contains NaN or infinity; it was not trained properly"
            )


def _find(name_or_folder: str | Path) -> Path:
    """The folder of a model: that of a shipped model of this name, or the path itself."""
    if isinstance(name_or_folder, str) and _NAME.fullmatch(name_or_folder):
        shipped = shipped_models() / name_or_folder
        if (shipped / CONFIG_FILE).is_file():
            return shipped
    folder = Path(name_or_folder)
    if folder.is_file():
        raise ModelError(
            f"{folder}: a file, but a model is a folder with {CONFIG_FILE} and {WEIGHTS_FILE}; "
            "`rvdtool models import` converts the authors' .pth files to models"
        )
    if not (folder / CONFIG_FILE).is_file():
        names = ", ".join(list_models()) or "none"
        raise ModelError(
            f"{name_or_folder}: neither a folder with a {CONFIG_FILE} nor a model that comes with "
            f"rvdtool (those are: {names})"
        )
    return folder


def _read_description(path: Path) -> _Description:
    data = _read(path, MAX_CONFIG_BYTES)
    try:
        described = _Description.model_validate_json(data)
    except ValidationError as error:
        raise ModelError(f"{path}: not the description of a model: {_first(error)}") from error
    if described.format == 1 and described.kind in _KINDS_OF_FORMAT_1:
        return described.model_copy(update={"kind": _KINDS_OF_FORMAT_1[described.kind]})
    return described


def _shapes(kind: str, config: Mapping[str, JsonValue], where: str) -> dict[str, Tensor]:
    """A network's expected state; on the meta device, since a config may specify any size."""
    with torch.device("meta"):
        return build_network(kind, config, where).state_dict()


def _read_weights(path: Path, expected: Mapping[str, Tensor]) -> bytes:
    """The content of the weights file; refused if larger than such weights can be."""
    tensors = sum(tensor.numel() * tensor.element_size() for tensor in expected.values())
    return _read(path, tensors + MAX_HEADER_BYTES_PER_TENSOR * (len(expected) + 1))


def _parse_weights(data: bytes, expected: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Parse weights; names, types and shapes are checked before any tensor is created."""
    try:
        listed = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ModelError(
            f"{path}: not a safetensors file, or a damaged one: {brief(error)}"
        ) from error
    _require_same(set(expected), set(listed), f"{path}: weights")
    for key, tensor in expected.items():
        wanted = (_DTYPES[tensor.dtype], list(tensor.shape))
        found = (listed[key]["dtype"], list(listed[key]["shape"]))
        if found != wanted:
            raise ModelError(
                f"{path}: {key} is {found[0]} {brief(str(found[1]))}; its config requires "
                f"{wanted[0]} {wanted[1]}"
            )
    state = safetensors.torch.load(data)
    check_weights(state, expected, str(path))
    return state


def _read(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes."""
    if not path.is_file():  # reading a pipe would block
        raise ModelError(f"{path}: no such file; a model has {CONFIG_FILE} and {WEIGHTS_FILE}")
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ModelError(f"{path}: can't be read: {describe(error)}") from error
    if len(data) > limit:
        raise ModelError(f"{path}: larger than {limit:,} bytes, the limit for such a model")
    return data


def _require_same(wanted: set[str], given: set[str], what: str) -> None:
    """Refuse missing and unknown names; the error lists them."""
    problems = [
        f"{word} {', '.join(map(brief, sorted(names)[:5]))}{' and more' * (len(names) > 5)}"
        for word, names in (("without", wanted - given), ("with unknown", given - wanted))
        if names
    ]
    if problems:
        raise ModelError(f"{what}: {' and '.join(problems)}")


def _first(error: ValidationError) -> str:
    """The first problem in one line: its place and what is wrong."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return brief(f"{where}: {problem['msg']}" if where else problem["msg"])
