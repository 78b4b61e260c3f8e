"""Programs that rvdtool's files are read with, which a user's machine may lack."""

import os

import pytest


def need(found: object, what: str) -> None:
    """Skip a test without its program; with RVDTOOL_REQUIRE_READERS=1, as in CI, it fails."""
    if found:
        return
    if os.environ.get("RVDTOOL_REQUIRE_READERS") == "1":
        pytest.fail(f"{what} is not installed, but RVDTOOL_REQUIRE_READERS=1 requires it")
    pytest.skip(f"{what} is not installed, so nothing can be said about reading with it")
