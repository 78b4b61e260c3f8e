"""The names that `import rvdtool` offers."""

import subprocess
import sys

import pytest

import rvdtool


def test_every_public_name_is_there_and_says_what_it_does() -> None:
    assert len(rvdtool.__all__) <= 15
    assert set(rvdtool.__all__) <= set(dir(rvdtool))
    for name in set(rvdtool.__all__) - {"__version__"}:
        assert getattr(rvdtool, name).__doc__


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


def test_names_stay_functions_when_rooms_are_imported_by_name() -> None:
    """A public name that were also a room's would turn into the room once that is imported."""
    script = (
        "import pkgutil, rvdtool;"
        "print({m.name for m in pkgutil.iter_modules(rvdtool.__path__)} & set(rvdtool.__all__))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
