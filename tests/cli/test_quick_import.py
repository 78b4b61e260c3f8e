"""The garbage collector pauses while a library is imported, and runs again afterwards."""

import gc
from collections.abc import Iterator

import pytest

from rvdtool.cli.imports import quick_import


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_was_imported_is_exempt() -> None:
    gc.unfreeze()
    with quick_import("not imported yet"):
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_a_failed_import_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), quick_import("not imported yet"):
        raise ImportError
    assert gc.isenabled()


def test_a_second_import_changes_nothing() -> None:
    gc.unfreeze()
    with quick_import("pytest"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0
