"""Reconstruction as users run it: `pack` with a number of RAW frames, then `derender`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from time import process_time

from rvdtool.bundle.store import Bundle, open_bundle
from rvdtool.capture.pack import pack
from rvdtool.capture.stills import Still
from rvdtool.delivery.folder import derender_to_folder
from rvdtool.delivery.options import DerenderOptions
from rvdtool.errors import MismatchError, UsageError
from rvdtool.raw.dng import write_dng
from rvdtool.raw.read import read_raw
from rvdtool.raw.sequence import list_sequence
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.benchmark.method import Codec, Encoding, PredictedFrame


class Bundled(Codec):
    """A bundle of the clip's video and evenly spaced RAW frames, de-rendered."""

    sources = (
        "research.benchmark.bundled",
        "bundle",
        "capture",
        "delivery",
        "fagdn",
        "matching",
        "network",
        "raw",
        "reconstruct",
        "video",
    )

    def __init__(self, model: str | None, raws: int, device: str = "cpu") -> None:
        """Set up the method.

        Args:
            model: name or folder of a model that `derender` can use; None for the fusion alone.
            raws: number of RAW frames.
            device: the network's device, in PyTorch's syntax.

        Raises:
            ModelError: the model is damaged.
            UsageError: no RAW, or no such model.
        """
        if raws < 1:
            raise UsageError(f"+{raws}raw: a bundle has at least 1 RAW")
        self._raws = raws
        self._model = None
        if model is not None:
            from rvdtool.network.device import load_placed

            self._model = load_placed(model, device, None, 1)
        self.name = f"{'fusion' if self._model is None else self._model.name}+{raws}raw"

    def key(self) -> Mapping[str, str]:
        """As `Method.key`."""
        return {**super().key(), "model": "" if self._model is None else self._model.sha256}

    def encode(self, clip: BenchmarkClip, count: int, scratch: Path) -> Encoding:
        """As `Codec.encode`.

        If the data set has no file of the video, the sRGB frames are packed as PNGs.

        Raises:
            MismatchError: the video has another number of frames than data.json lists.
            UsageError: the clip is at half size, or too short for so many RAWs.
        """
        if clip.half:
            raise UsageError(f"{self.name}: videos can't be packed at half size")
        if 2 * self._raws > count:
            raise UsageError(
                f"{clip.name}: {count} frames are too few for {self.name}; give fewer RAWs"
            )
        bundle, seconds = self._pack(clip, count, scratch)
        if bundle.video_info.frame_count != len(clip):
            raise MismatchError(
                f"{clip.name}: its video has {bundle.video_info.frame_count} frames, but data.json "
                f"lists {len(clip)}"
            )
        parts = {
            "raw": sum(one.raw.member.size for one in bundle.manifest.references),
            "planes": sum(one.planes.member.size for one in bundle.manifest.references),
        }
        known = sum(member.size for member in bundle.manifest.members)
        parts["archive"] = bundle.path.stat().st_size - known
        return Encoding(parts, seconds, self._decoded(bundle, count, scratch / "frames"))

    def _pack(self, clip: BenchmarkClip, count: int, folder: Path) -> tuple[Bundle, float]:
        frames = [number * count // self._raws for number in range(self._raws)]
        raws = {index: clip.raw(index) for index in frames}
        video = clip.encoded or clip.folder.srgb_path(clip.video, 0).parent
        start, stills = process_time(), []
        for index, raw in raws.items():
            stills.append(Still(folder / f"{index:06d}.dng", index))
            write_dng(raw, stills[-1].path)
        path = pack(video, stills, folder / "clip.rvd", force=True)
        return open_bundle(path), process_time() - start

    def _decoded(self, bundle: Bundle, count: int, folder: Path) -> Iterator[PredictedFrame]:
        options = DerenderOptions(model=self._model, audio=False, frames=range(count))
        start = process_time()
        derender_to_folder(bundle, folder, options)
        seconds = (process_time() - start) / count
        for index, file in enumerate(list_sequence(folder)):
            if index:
                yield PredictedFrame(index, read_raw(file).mosaic, seconds)
