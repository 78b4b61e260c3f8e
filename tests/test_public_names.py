"""The names that `import rvdtool` offers."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rvdtool

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "docs" / "api.md"


def python_blocks(document: Path) -> str:
    """The Python examples of a document, as one program."""
    return "\n".join(re.findall(r"^```python\n(.*?)^```", document.read_text(), re.M | re.S))


def test_every_public_name_is_there_and_says_what_it_does() -> None:
    assert set(rvdtool.__all__) <= set(dir(rvdtool))
    for name in set(rvdtool.__all__) - {"__version__", "DEFAULT_MODEL"}:
        assert getattr(rvdtool, name).__doc__


def test_the_api_page_lists_every_public_name_and_no_other() -> None:
    table = API.read_text().split("## All names")[1]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(first_cells))) == set(rvdtool.__all__)


@pytest.mark.parametrize("document", [API, ROOT / "README.md"], ids=lambda path: path.name)
def test_the_examples_run(
    document: Path,
    shot: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(shot.video, "clip.mp4")
    shutil.copy(shot.raw, "first.dng")
    # Any frames do as the truth: the reconstructed ones of another run.
    rvdtool.derender_to_folder(rvdtool.open_bundle(shot.bundle), Path("ground_truth"))
    exec(compile(python_blocks(document), str(document), "exec"), {})
    assert (
        len(list(Path("raws").glob("*.dng")))
        == rvdtool.open_bundle(Path("clip.rvd")).video_info.frame_count
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rvdtool.nothing


def test_importing_costs_nothing_until_a_name_is_used() -> None:
    script = (
        "import sys, rvdtool; before = 'numpy' in sys.modules;"
        "rvdtool.RawFrame; print(before, 'numpy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "False True\n"


def test_names_stay_functions_when_packages_are_imported_by_name() -> None:
    """A public name that is also a package's would become the package once that is imported."""
    script = (
        "import pkgutil, rvdtool;"
        "print({m.name for m in pkgutil.iter_modules(rvdtool.__path__)} & set(rvdtool.__all__))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
