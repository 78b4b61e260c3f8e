"""Import a folder that `rvdtool derender` wrote into DaVinci Resolve, and print what Resolve read.

Not tested with Resolve, which wasn't available: it follows Blackmagic's documentation of the
scripting API (Help > Documentation > Developer in Resolve). Only Resolve Studio allows external
scripts.

1. In Resolve's preferences, System > General, set "External scripting using" to Local, and open a
   project. Set its timeline frame rate before the first clip is imported.
2. Set RESOLVE_SCRIPT_API, RESOLVE_SCRIPT_LIB and PYTHONPATH as the README of the API says.
3. python resolve_import.py raws/

It prints frame rate, start time code, resolution and sound as Resolve has read them, so that they
can be compared with what `derender` printed. Nothing but the Media Pool is changed.
"""

import argparse
import re
import sys
from pathlib import Path

PROPERTIES = (
    *("File Name", "Frames", "FPS", "Start TC", "End TC", "Resolution", "PAR", "Reel Name"),
    *("Audio Ch", "Sample Rate", "Audio Bit Depth", "Duration"),
)


def main() -> None:
    """Import a folder, and print what Resolve has read."""
    parser = argparse.ArgumentParser(description="Import a folder of DNGs into DaVinci Resolve.")
    parser.add_argument("folder", type=Path, help="what `rvdtool derender -o` named")
    folder = parser.parse_args().folder.resolve()
    items = [sequence(folder), *map(str, sorted(folder.glob("*.wav")))]
    pool = media_pool()
    for item in items:
        name = item["FilePath"] if isinstance(item, dict) else item
        clips = pool.ImportMedia([item])
        if not clips:
            sys.exit(f"{name}: Resolve didn't import it")
        for clip in clips:
            print(name)
            found = clip.GetClipProperty()
            for key in PROPERTIES:
                print(f"  {key:<16} {found.get(key, '(Resolve says nothing)')}")


def sequence(folder: Path) -> dict[str, object]:
    """The folder's DNGs as one item for `MediaPool.ImportMedia`."""
    names = sorted(path.name for path in folder.glob("*.dng") if not path.name.startswith("."))
    if not names:
        sys.exit(f"{folder}: no DNGs in it")
    matches = [re.fullmatch(r"(.+_)(\d+)\.dng", name) for name in names]
    stems = {match[1] for match in matches if match}
    numbers = [int(match[2]) for match in matches if match]
    if None in matches or len(stems) > 1 or numbers != [*range(numbers[0], numbers[-1] + 1)]:
        sys.exit(f"{folder}: not the frames of one clip, without gaps")
    pattern = f"{stems.pop()}%06d.dng"
    return {
        "FilePath": str(folder / pattern),
        "StartIndex": numbers[0],
        "EndIndex": numbers[-1],
    }


def media_pool():
    """The open project's Media Pool."""
    try:
        import DaVinciResolveScript
    except ImportError:
        sys.exit("Resolve's scripting module wasn't found; set PYTHONPATH as its README says")
    resolve = DaVinciResolveScript.scriptapp("Resolve")
    project = resolve and resolve.GetProjectManager().GetCurrentProject()
    if not project:
        sys.exit("Resolve isn't running, allows no external scripts, or has no project open")
    return project.GetMediaPool()


if __name__ == "__main__":
    main()
