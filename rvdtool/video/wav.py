"""Broadcast WAV: sound with its place in the day (EBU Tech 3285; RF64, Tech 3306; iXML 2.0)."""

import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from rvdtool.errors import OutputError
from rvdtool.files import describe, write_beside
from rvdtool.video.container import reason
from rvdtool.video.encode import OutputFile
from rvdtool.video.sound import Depth, Samples

LARGEST_RIFF = 2**32 - 2**20
"""Bytes of sound from which on RF64 is written: plain RIFF counts in 32 bits."""

_DESCRIPTION = 256
"""Bytes of the first field of bext."""

_ENCODERS: dict[Depth, tuple[str, str]] = {
    16: ("pcm_s16le", "s16"),
    24: ("pcm_s24le", "s32"),
    32: ("pcm_s32le", "s32"),
    "float": ("pcm_f32le", "flt"),
}
"""Depth → FFmpeg's encoder, and what it takes."""


@dataclass(frozen=True)
class WavTags:
    """What a Broadcast WAV says about itself.

    Attributes:
        description: free text.
        originator: the program.
        recorded: `YYYY-MM-DD HH:MM:SS`; None if unknown.
        time_reference: samples from midnight to the first one.
        ixml: an iXML document.
    """

    description: str
    originator: str
    recorded: str | None
    time_reference: int
    ixml: str


def write_wav(
    path: Path,
    blocks: Iterable[Samples],
    *,
    rate: int,
    layout: str,
    channels: int,
    depth: Depth,
    count: int,
    tags: WavTags,
    overwrite: bool = False,
) -> None:
    """Write a Broadcast WAV, whole or not at all.

    Args:
        path: the file.
        blocks: [n, channels] each; int32 filled from the top bit, or float32 for depth `float`.
        rate: samples per second.
        layout: FFmpeg's name of the channels.
        channels: how many.
        depth: of the file.
        count: how many samples the blocks have together.
        tags: what it says about itself.
        overwrite: replace an existing file.

    Raises:
        OutputError: it exists (without `overwrite`) or can't be written.
    """
    encoder, form = _ENCODERS[depth]
    size = count * channels * (2 if depth == 16 else 3 if depth == 24 else 4)
    rf64 = size > LARGEST_RIFF
    options = {"write_bext": "1", "rf64": "always" if rf64 else "never", "fflags": "+bitexact"}
    with write_beside(path, overwrite=overwrite) as file:
        output = OutputFile(file)
        try:
            with av.open(output, "w", format="wav", container_options=options) as container:
                container.metadata.update(_bext(tags))
                stream = cast(AudioStream, container.add_stream(encoder, rate=rate, layout=layout))
                written = 0
                for block in blocks:
                    frame = AudioFrame.from_ndarray(_packed(block, depth), form, layout)
                    frame.sample_rate, frame.pts = rate, written
                    container.mux(stream.encode(frame))
                    written += len(block)
                container.mux(stream.encode(None))
        except av.error.FFmpegError as error:
            if output.error is not None:
                raise output.error from error
            raise OutputError(f"{path}: can't be written: {reason(error)}") from error
        _append_ixml(file, tags.ixml.encode(), rf64=rf64)


def originator(path: Path) -> str:
    """Which program wrote a Broadcast WAV, as its bext says; empty if it is none.

    Raises:
        OutputError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise OutputError(f"{path}: can't be read: {describe(error)}") from error
    place = head.find(b"bext") + 8 + _DESCRIPTION
    if head[:4] not in (b"RIFF", b"RF64") or b"bext" not in head:
        return ""
    return head[place : place + 32].rstrip(b"\0").decode("ascii", "replace")


def _bext(tags: WavTags) -> dict[str, str]:
    said = {
        "description": tags.description,
        "originator": tags.originator,
        "time_reference": str(tags.time_reference),
    }
    if tags.recorded:
        said["origination_date"], said["origination_time"] = tags.recorded.split(" ")
    return said


def _packed(block: Samples, depth: Depth) -> NDArray[Any]:
    """[1, n · channels], as the encoder takes it."""
    values: NDArray[Any] = block
    if depth == 16:
        values = (values >> 16).astype(np.int16)
    return np.ascontiguousarray(values).reshape(1, -1)


def _append_ixml(file: BinaryIO, document: bytes, *, rf64: bool) -> None:
    """Add a chunk at the end, and its bytes to the file's count."""
    document += b" " * (len(document) % 2)
    end = file.seek(0, io.SEEK_END)
    file.write(b"\0" * (end % 2) + b"iXML" + struct.pack("<I", len(document)) + document)
    size = file.tell() - 8
    file.seek(20 if rf64 else 4)  # in RF64, the chunk ds64 has it, after its own 8 bytes of head
    file.write(struct.pack("<Q" if rf64 else "<I", size))
