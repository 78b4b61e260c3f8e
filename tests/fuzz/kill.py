"""Packs killed by SIGKILL, at every write and at any time: what lies under the final name is whole.

python -m tests.fuzz.kill VIDEO RAW FOLDER       at every write; what came of it, as JSON
"""

import io
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

# Imported, but not used, before the fork: LibRaw's and FFmpeg's threads don't survive one.
from rvdtool import files
from rvdtool.capture.pack import pack

_PIECE = 256
"""Bytes per write: so few that a bundle of some kilobytes takes many writes."""

_PADDING = 64 * 2**20
"""Bytes added to a video, so that copying takes time."""


@dataclass
class _Fate:
    """Kills this process at the `end`-th event."""

    end: int
    events: int = 0

    def comes(self) -> bool:
        """Whether the process is to end in this event; counts it."""
        self.events += 1
        return self.events == self.end

    def pass_by(self) -> None:
        """An event that happens as a whole or not at all."""
        if self.comes():
            os.kill(os.getpid(), signal.SIGKILL)


class _Torn(io.FileIO):
    """A file whose last write before the end gets half through."""

    fate: _Fate

    def write(self, data: Any, /) -> int:
        piece = bytes(data[:_PIECE])  # a file may take less than it is given
        if self.fate.comes():
            super().write(piece[: len(piece) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return super().write(piece)


def pack_and_die(video: Path, raw: Path, out: Path, end: int, *, overwrite: bool = False) -> int:
    """Pack, and be killed at event `end`: a write to the part file, a sync, or the renaming.

    Returns:
        How many events there were, if the end didn't come.
    """
    fate = _Fate(end)
    created, synced, published = files.create_part, os.fsync, files.publish

    def sync(_: int) -> None:
        """Nothing: a killed process, unlike a power cut, loses nothing that was written."""

    def create_torn(folder: Path) -> tuple[Path, BinaryIO]:
        part, file = created(folder)
        torn = _Torn(os.dup(file.fileno()), "w")
        file.close()
        torn.fate = fate
        return part, io.BufferedWriter(torn, _PIECE)

    def around(action: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any) -> Any:
            fate.pass_by()
            result = action(*args)
            fate.pass_by()
            return result

        return act

    files.create_part = create_torn
    os.fsync, files.publish = around(sync), around(published)  # type: ignore[assignment]
    try:
        pack(video, raw, out, overwrite=overwrite)
    finally:
        files.create_part, os.fsync, files.publish = created, synced, published
    return fate.events


def kill_at_every_write(video: Path, raw: Path, folder: Path) -> dict[str, Any]:
    """Kill a pack at each of its events, in turn over an older bundle and over nothing."""
    out = folder / "clip.rvd"
    events = _in_child(lambda: pack_and_die(video, raw, out, -1))
    whole, old = out.read_bytes(), b"an older bundle"
    failed: list[str] = []
    left: Counter[str] = Counter()
    for end in range(1, events + 1):
        before = old if end % 2 else None
        out.unlink(missing_ok=True)
        if before is not None:
            out.write_bytes(before)
        _in_child(partial(pack_and_die, video, raw, out, end, overwrite=True))
        after = out.read_bytes() if out.exists() else None
        name = {whole: "the whole bundle", before: "what was there before"}.get(after, "?")
        left[name] += 1
        if name == "?":
            failed.append(f"killed at event {end}: {len(after or b'')} bytes")
    out.unlink(missing_ok=True)
    _in_child(lambda: pack_and_die(video, raw, out, -1))
    if out.read_bytes() != whole:
        failed.append("the pack after the last killed one is another")
    return {"cases": sum(left.values()), **left, "failures": len(failed), "failed": failed}


def kill_packs(seeds: Path, times: int, seed: int) -> dict[str, Any]:
    """Kill packs of a larger video at random moments; look what lies under the final name."""
    rng = random.Random(f"kill:{seed}")
    left: Counter[str] = Counter()
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="rvdtool-kill-") as folder:
        video, raw, out = (Path(folder) / name for name in ("clip.mp4", "first.dng", "clip.rvd"))
        raw.write_bytes((seeds / "raw" / "ljpeg.dng").read_bytes())
        # A `free` box (ISO 14496-12, 8.1.2) may have any size, and players skip it.
        box = (8 + _PADDING).to_bytes(4) + b"free" + bytes(_PADDING)
        video.write_bytes((seeds / "video" / "h264.mp4").read_bytes() + box)
        durations = []
        for _ in range(3):
            out.unlink(missing_ok=True)
            start = time.monotonic()
            _in_child(lambda: _packed(video, raw, out))
            durations.append(time.monotonic() - start)
        whole = out.read_bytes()
        for k in range(times):
            out.unlink(missing_ok=True)
            moment = rng.uniform(0, 1.2 * max(durations))
            _in_child(lambda: _packed(video, raw, out), killed_after=moment)
            after = out.read_bytes() if out.exists() else None
            name = {whole: "the whole bundle", None: "nothing"}.get(after, "?")
            left[name] += 1
            if name == "?":
                failed.append(f"kill {k}: {len(after or b'')} bytes")
    return {"cases": times, **left, "failures": len(failed), "failed": failed}


def _packed(video: Path, raw: Path, out: Path) -> int:
    pack(video, raw, out)
    return 0


def _in_child(action: Callable[[], int], killed_after: float | None = None) -> int:
    """What `action` returns in a child process; 0 if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, str(action()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return int(told or 0)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(kill_at_every_write(*map(Path, sys.argv[1:]))))
