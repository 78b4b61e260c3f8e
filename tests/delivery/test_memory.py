"""As many frames at once as fit into memory, with the same result; a refusal that says how much."""

from pathlib import Path

import psutil
import pytest
from small_shots import make_bundle, pan
from test_folder import contents

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.delivery import memory
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.memory import fitting_in_flight, free_memory, needed_memory
from rvdtool.delivery.options import DerenderOptions
from rvdtool.delivery.run import Run
from rvdtool.errors import UsageError
from rvdtool.network.checkpoint import load_model
from rvdtool.notes import keep_quiet

SIZE = (2160, 3840)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(make_bundle(tmp_path_factory.mktemp("clip"), pan(5)))


def need(in_flight: int) -> int:
    return needed_memory(SIZE, 16, in_flight)


def test_one_frame_at_a_time_gives_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    model = load_model("fagdn-calibrated-small")
    size = bundle.video_info.height, bundle.video_info.width
    for memory_allowed in (None, needed_memory(size, 16, 0)):
        options = DerenderOptions(model=model, memory=memory_allowed)
        derender_to_folder(bundle, tmp_path / str(memory_allowed), options)
    unlimited, limited = (contents(folder) for folder in sorted(tmp_path.iterdir()))
    assert unlimited == limited


def test_a_limit_that_is_too_small_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--memory 1 MB: frames of .* take about .* MB"):
        derender_to_folder(bundle, tmp_path / "raws", DerenderOptions(memory=10**6))
    assert not (tmp_path / "raws").exists()


def test_the_limit_is_also_that_of_a_part_of_a_run(bundle: Bundle, tmp_path: Path) -> None:
    size = bundle.video_info.height, bundle.video_info.width
    options = DerenderOptions(memory=needed_memory(size, 0, 0), frames=range(1, 3))
    assert Run(bundle, tmp_path, options, keep_quiet, [range(1, 3)]).clip.in_flight == 0


@pytest.mark.parametrize("limited", [True, False], ids=["limit", "free"])
def test_as_many_frames_as_fit(monkeypatch: pytest.MonkeyPatch, limited: bool) -> None:
    monkeypatch.setattr(memory, "threads", lambda: 8)
    for wanted in range(4, -1, -1):
        allowed = need(wanted)
        monkeypatch.setattr(memory, "free_memory", lambda allowed=allowed: allowed)
        said: list[str] = []
        limit = allowed if limited else None
        found = fitting_in_flight(SIZE, 16, limit=limit, say=said.append)
        assert found == wanted
        assert [line.partition(",")[0] for line in said] == (
            ["frames are made one after another"] if wanted == 0 else []
        )


def test_too_little_free_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: need(0) - 1)
    said: list[str] = []
    assert fitting_in_flight(SIZE, 16, limit=None, say=said.append) == 0
    assert "the system may stop this run" in said[0]


def test_what_is_free() -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total
    assert fitting_in_flight((32, 32), 0, limit=None, say=keep_quiet) >= 1
