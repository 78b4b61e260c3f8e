"""Replay a video as a camera would see it, and print at which frames it would keep a RAW.

    python examples/raw_trigger.py VIDEO [--interval 24]

It also prints what each decision costs, without decoding.
"""

import argparse
import sys
from pathlib import Path
from time import process_time

from rvdtool.capture.trigger import RawTrigger
from rvdtool.video.decode import probe, read_frames
from rvdtool.video.source import open_source


def main() -> None:
    """Replay, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--interval", type=int, default=24, help="frames per RAW, on average")
    arguments = parser.parse_args()
    source = open_source(arguments.video)
    info = probe(source)
    trigger, kept, seconds = RawTrigger(arguments.interval), [], 0.0
    for frame in read_frames(source, info):
        start = process_time()
        if trigger(frame.rgb):
            kept.append(frame.index)
        seconds += process_time() - start
    sys.stdout.write(
        f"{len(kept)} RAWs of {info.frame_count} frames, at {', '.join(map(str, kept))}; "
        f"{1e3 * seconds / info.frame_count:.2f} ms per frame of {info.width}×{info.height}\n"
    )


if __name__ == "__main__":
    main()
