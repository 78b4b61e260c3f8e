"""Write Broadcast WAV with a time reference (EBU Tech 3285; RF64, Tech 3306; iXML 2.0)."""

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
"""Above this many bytes of audio, RF64 is written, since RIFF's sizes have 32 bits."""

_DESCRIPTION = 256
"""Size in bytes of Description, the first field of the bext chunk."""

_ENCODERS: dict[Depth, tuple[str, str]] = {
    16: ("pcm_s16le", "s16"),
    24: ("pcm_s24le", "s32"),
    32: ("pcm_s32le", "s32"),
    "float": ("pcm_f32le", "flt"),
}
"""Bit depth → FFmpeg's encoder and its input sample format."""


@dataclass(frozen=True)
class WavTags:
    """Metadata of a Broadcast WAV file.

    Attributes:
        description: free text.
        originator: name of the program that writes the file.
        recorded: recording time, `YYYY-MM-DD HH:MM:SS`; None if unknown.
        time_reference: number of samples from midnight to the first sample.
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
    """Write a Broadcast WAV file. On an error, no file is left.

    Args:
        path: the new file.
        blocks: samples [n, channels] each: int32 at full scale, or float32 for depth `float`.
        rate: sample rate in Hz.
        layout: FFmpeg's name of the channel layout.
        channels: number of channels.
        depth: bit depth of the file.
        count: total number of samples per channel in all blocks.
        tags: metadata.
        overwrite: replace an existing file.

    Raises:
        OutputError: the file exists (without `overwrite`) or can't be written.
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
    """The program that wrote a Broadcast WAV, from its bext chunk; empty if it has none.

    Raises:
        OutputError: the file can't be read.
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
    fields = {
        "description": tags.description,
        "originator": tags.originator,
        "time_reference": str(tags.time_reference),
    }
    if tags.recorded:
        fields["origination_date"], fields["origination_time"] = tags.recorded.split(" ")
    return fields


def _packed(block: Samples, depth: Depth) -> NDArray[Any]:
    """Interleaved samples [1, n · channels], in the encoder's input format."""
    values: NDArray[Any] = block
    if depth == 16:
        values = (values >> 16).astype(np.int16)
    return np.ascontiguousarray(values).reshape(1, -1)


def _append_ixml(file: BinaryIO, document: bytes, *, rf64: bool) -> None:
    """Append an iXML chunk to the file, and update the file's size in its header."""
    document += b" " * (len(document) % 2)
    end = file.seek(0, io.SEEK_END)
    file.write(b"\0" * (end % 2) + b"iXML" + struct.pack("<I", len(document)) + document)
    size = file.tell() - 8
    file.seek(20 if rf64 else 4)  # RF64: the size is in the ds64 chunk, after its 8-byte header
    file.write(struct.pack("<Q" if rf64 else "<I", size))
