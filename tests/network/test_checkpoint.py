"""Models: saving and loading changes nothing; anything else in a model's folder is refused."""

import json
import os
import pickle
import resource
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from rvdtool.errors import ModelError, OutputError, UsageError
from rvdtool.fagdn import authors
from rvdtool.fagdn.authors import import_authors
from rvdtool.fagdn.network import Fagdn, FagdnConfig
from rvdtool.network import checkpoint
from rvdtool.network.checkpoint import list_models, load_model, save_model, shipped_models

CONFIG = FagdnConfig(features=2)


class Bomb:
    """An object that creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def fresh(seed: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return Fagdn(CONFIG).state_dict()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    save_model(folder, "fagdn", asdict(CONFIG), fresh(), training={"hours": 2.5})
    return folder


def describe(folder: Path, **changes: Any) -> None:
    """Change entries of config.json; None removes one."""
    path = folder / "config.json"
    described = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: one for key, one in described.items() if one is not None}))


def put_weights(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Replace the weights, with a matching hash."""
    data = safetensors.torch.save(state)
    (folder / "weights.safetensors").write_bytes(data)
    describe(folder, weights_sha256=checkpoint.hashlib.sha256(data).hexdigest())


def test_a_saved_model_is_loaded_unchanged(model: Path) -> None:
    loaded = load_model(model)
    assert (loaded.name, loaded.kind, loaded.config) == ("model", "fagdn", asdict(CONFIG))
    assert loaded.training == {"hours": 2.5}
    assert not loaded.network.training
    state = loaded.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in fresh().items())


def test_a_model_is_only_replaced_with_overwrite(model: Path) -> None:
    before = load_model(model).sha256
    with pytest.raises(OutputError, match="already contains a model"):
        save_model(model, "fagdn", asdict(CONFIG), fresh(2))
    assert load_model(model).sha256 == before
    (model / "README.md").write_text("A card.")
    save_model(model, "fagdn", asdict(CONFIG), fresh(2), overwrite=True)
    assert load_model(model).sha256 != before
    assert (model / "README.md").exists()


def test_invalid_models_are_not_saved(tmp_path: Path) -> None:
    state = fresh()
    name = next(iter(state))
    broken = {name: torch.full_like(state[name], torch.nan)}
    for wrong in (state | broken, state | {"more": torch.zeros(1)}, {name: state[name]}):
        with pytest.raises(UsageError, match="not saved"):
            save_model(tmp_path / "m", "fagdn", asdict(CONFIG), wrong)
    with pytest.raises(UsageError, match="not saved"):
        save_model(tmp_path / "m", "fagdn", asdict(CONFIG), state, training={"loss": [1, {2}]})
    assert not (tmp_path / "m").exists()


def replaced(**tensors: Any) -> Callable[[Path, Path], None]:
    return lambda folder, _: put_weights(folder, fresh() | tensors)


def with_config(**fields: Any) -> Callable[[Path, Path], None]:
    return lambda folder, _: describe(folder, config=asdict(CONFIG) | fields)


def pickled(folder: Path, trace: Path) -> None:
    (folder / "weights.safetensors").write_bytes(pickle.dumps(Bomb(trace)))
    digest = checkpoint.hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    describe(folder, weights_sha256=digest)


def cut(folder: Path, trace: Path) -> None:
    path = folder / "weights.safetensors"
    data = path.read_bytes()[:-100]
    path.write_bytes(data)
    describe(folder, weights_sha256=checkpoint.hashlib.sha256(data).hexdigest())


def flipped(folder: Path, trace: Path) -> None:
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def oversized(folder: Path, trace: Path) -> None:
    with (folder / "weights.safetensors").open("r+b") as file:
        file.truncate(2**40)  # sparse: takes no space


def a_pipe(folder: Path, trace: Path) -> None:
    (folder / "weights.safetensors").unlink()
    os.mkfifo(folder / "weights.safetensors")


def absurd_header(folder: Path, trace: Path) -> None:
    path = folder / "weights.safetensors"
    data = (2**62).to_bytes(8, "little") + b"{}"
    path.write_bytes(data)
    describe(folder, weights_sha256=checkpoint.hashlib.sha256(data).hexdigest())


BIAS = "conv_raw.conv.bias"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (pickled, "not a safetensors file"),
        (cut, "not a safetensors file"),
        (absurd_header, "not a safetensors file"),
        (flipped, "altered"),
        (oversized, "larger than"),
        (a_pipe, "no such file"),
        (lambda folder, _: (folder / "weights.safetensors").unlink(), "no such file"),
        (replaced(**{BIAS: torch.zeros(5)}), r"conv_raw.conv.bias is F32 \[5\].*\[4\]"),
        (replaced(**{BIAS: torch.zeros(4, dtype=torch.float64)}), "F64"),
        (replaced(**{BIAS: torch.tensor([0, 0, 0, torch.inf])}), "NaN or infinity"),
        (replaced(more=torch.zeros(1)), "with unknown more"),
        (with_config(features=3), "shape|F32"),
        (with_config(features=0), "features must be"),
        (with_config(features=10**12), "features must be"),
        (with_config(features="2"), "valid integer"),
        (with_config(layers=2), "unknown layers"),
        (lambda folder, _: describe(folder, config={"features": 2}), "without confidence_map"),
        (lambda folder, _: describe(folder, kind="other"), "kind"),
        (lambda folder, _: describe(folder, format=3), "format"),
        (lambda folder, _: describe(folder, code="import os"), "code"),
        (lambda folder, _: describe(folder, weights_sha256=None), "weights_sha256"),
        (lambda folder, _: (folder / "config.json").write_text("["), "description"),
        (lambda folder, _: (folder / "config.json").write_text("[" * 10**5), "description"),
        (lambda folder, _: (folder / "config.json").write_bytes(b"\xff\x00"), "description"),
        (lambda folder, _: (folder / "config.json").write_text(" " * 2**21), "larger than"),
    ],
)
def test_a_damaged_model_is_refused(
    spoil: Callable[[Path, Path], object], told: str, model: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "code-was-run"
    spoil(model, trace)
    with pytest.raises(ModelError, match=told):
        load_model(model)
    assert not trace.exists()


@pytest.mark.parametrize("fields", [{"x" * 10**5: 1}, {"kind": "x" * 10**5}, {"\n": 1}])
def test_a_models_text_is_quoted_in_one_short_line(model: Path, fields: Any) -> None:
    for given in (fields, {"config": asdict(CONFIG) | fields}):
        describe(model, **given)
        with pytest.raises(ModelError) as refusal:
            load_model(model)
        assert len(str(refusal.value)) < 1000
        assert "\n" not in str(refusal.value)


def test_the_error_for_an_unknown_name_lists_the_models(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nor a model that comes with"):
        load_model("no-such-model")
    file = tmp_path / "RVD_Part1.pth"
    file.write_bytes(b"x")
    with pytest.raises(ModelError, match="models import"):
        load_model(file)


def test_every_model_that_ships_loads_by_its_name() -> None:
    assert (shipped_models() / "README.md").is_file()
    for name in list_models():
        assert load_model(name).name == name


def test_names_are_those_of_the_shipped_folder(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "shipped_models", lambda: model.parent)
    assert list_models() == ["model"]
    assert load_model("model").kind == "fagdn"


# The authors' files.


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """The authors' weights, but of a small network, which the import is made to expect."""
    monkeypatch.setattr(authors, "FagdnConfig", lambda: CONFIG)
    return {f"module.{name}": one for name, one in fresh().items()}


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


@pytest.mark.parametrize("prefixed", [True, False])
def test_the_authors_checkpoint_becomes_a_model(
    prefixed: bool, theirs: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    state = {name if prefixed else name.removeprefix("module."): x for name, x in theirs.items()}
    content = {"epoch": 60, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}
    import_authors(saved(tmp_path / "RVD_Part1.pth", content), tmp_path / "rvd-part1")
    model = load_model(tmp_path / "rvd-part1")
    assert (model.name, model.kind) == ("rvd-part1", "fagdn")
    assert model.training["epoch"] == 60
    assert model.training["imported_from"] == "RVD_Part1.pth"
    loaded = model.network.state_dict()
    assert all(torch.equal(loaded[name.removeprefix("module.")], x) for name, x in theirs.items())


def compressed(source: Path, target: Path) -> Path:
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return target


def test_hostile_checkpoints_are_refused(theirs: dict[str, torch.Tensor], tmp_path: Path) -> None:
    trace, target, file = tmp_path / "code-was-run", tmp_path / "model", tmp_path / "file.pth"
    bias = "module." + BIAS
    spread = torch.zeros(1).expand(10**6, 10**6)  # claims a million times a million numbers
    for content, told in (
        ({"state_dict": theirs, "optimizer": Bomb(trace)}, "weights only"),
        (theirs, "with a 'state_dict'"),
        ({"state_dict": {}}, "without"),
        ({"state_dict": theirs | {"module.more": torch.zeros(1)}}, "unknown more"),
        ({"state_dict": theirs | {"more": torch.zeros(1)}}, "unknown"),
        ({"state_dict": theirs | {bias: torch.zeros(5)}}, r"conv_raw.conv.bias has shape \[5\]"),
        ({"state_dict": theirs | {bias: spread}}, "aren't stored"),
        ({"state_dict": theirs, "optimizer": nested(100)}, "tuple"),
        ({"state_dict": theirs | {bias: torch.zeros(4).half()}}, "float16"),
        ({"state_dict": theirs | {bias: torch.full((4,), torch.nan)}}, "NaN"),
        ({"state_dict": theirs | {bias: torch.zeros(4).to_sparse()}}, "not a plain tensor|weights"),
        ({"state_dict": theirs | {bias: [0, 0, 0, 0]}}, "must map names"),
    ):
        with pytest.raises(ModelError, match=told):
            import_authors(saved(file, content), target)
    with pytest.raises(ModelError, match="compressed"):
        import_authors(compressed(file, tmp_path / "deflated.pth"), target)
    file.write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(ModelError, match="not a checkpoint"):
        import_authors(file, target)
    with file.open("r+b") as opened:
        opened.truncate(2**31 + 1)
    with pytest.raises(ModelError, match="can be read"):
        import_authors(file, target)
    assert not trace.exists()
    assert not target.exists()


def nested(depth: int) -> tuple[Any, ...]:
    """Few instructions, but hashing or printing the object takes 2**depth steps."""
    one: tuple[Any, ...] = (1, 2)
    for _ in range(depth):
        one = (one, one)
    return one


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02c__builtin__\nbytearray\nJ\x00\x5e\xd0\xb2\x85R.",  # bytearray(-…)
        b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00\x5e\xd0\xb2\x00\x85R.",
        b"\x80\x02ccollections\nCounter\n)R.",
        b"\x80\x02ctorch\nFloatStorage\n(K\x01o.",
        b"\x80\x02(lp0\n(tR.",
        b"\x80\x02e.",
        b"\x80\x02h\x07.",
        b"\x80\x02}",
        b"",
    ],
)
def test_a_pickle_is_refused_before_it_runs(program: bytes, tmp_path: Path) -> None:
    """The second asks for 3,000,000,000 bytes, which PyTorch's restricted reader grants."""
    file = tmp_path / "bomb.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/version", "3\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="weights only"):
        import_authors(file, tmp_path / "model")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000, f"{grown} kB"


def test_damaged_checkpoints_are_refused_or_unchanged(tmp_path: Path) -> None:
    """Any byte may be wrong; only rvdtool's errors may be raised."""
    whole = saved(tmp_path / "small.pth", {"state_dict": {"a": torch.zeros(3)}}).read_bytes()
    file = tmp_path / "damaged.pth"
    for position in range(0, len(whole), 29):
        data = bytearray(whole)
        data[position] ^= 0x5A
        file.write_bytes(data)
        with pytest.raises(ModelError):
            import_authors(file, tmp_path / "model")


def test_models_of_the_first_format_keep_working(model: Path) -> None:
    describe(model, format=1, kind="published")
    assert load_model(model).kind == "fagdn"
