"""The base class of the benchmark's methods, which predict a clip's RAW frames."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rvdtool.errors import ModelError
from rvdtool.raw.frame import Mosaic
from rvdtool.research.benchmark.clip import BenchmarkClip
from rvdtool.research.fingerprint import code_fingerprint

if TYPE_CHECKING:
    from rvdtool.network.checkpoint import Model

Values = NDArray[np.float32]
"""A predicted mosaic [H, W] in DN, not rounded."""


@dataclass(frozen=True, eq=False)
class PredictedFrame:
    """A method's prediction of one frame.

    Attributes:
        index: number of the frame: 1, 2, ….
        values: DN, [H, W]: float if the protocol is to round, uint16 if the method has rounded.
        seconds: computing time, without reading and scoring; the first includes calibration.
    """

    index: int
    values: Values | Mosaic
    seconds: float


class Method(ABC):
    """A method that predicts RAW frames from an sRGB video and some RAW data.

    Attributes:
        name: name in tables and file names.
        alone: whether frames are predicted separately, so that some may be left out.
        needs_video: whether frames are predicted from the sRGB video, besides RAW data.
        switches: the model's switches, which define an ablation.
        sources: packages and modules below rvdtool whose code the figures depend on.
    """

    name: str
    alone: ClassVar[bool] = False
    needs_video: ClassVar[bool] = True
    switches: Mapping[str, bool] = MappingProxyType({})
    sources: ClassVar[tuple[str, ...]]

    @abstractmethod
    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        """Predict frames of a clip in order.

        Args:
            clip: the video.
            wanted: indices (1, 2, …, ascending) of the requested frames. Methods that aren't
                `alone` also yield those between.

        Raises:
            InputError: a frame is missing or damaged.
        """

    def metadata_bytes(self, clip: BenchmarkClip) -> float:
        """Bytes of RAW per frame that the camera must store, uncompressed, at the camera's bits.

        By default, this is the first RAW frame, divided by the number of frames.
        """
        height, width = clip.reference.size
        return height * width * clip.reference.bits / 8 / len(clip)

    def key(self) -> Mapping[str, str]:
        """All that figures depend on besides the clip; they are stale when it changes."""
        return {"name": self.name, "code": code_fingerprint(self.sources)}


@dataclass(frozen=True, eq=False)
class Encoding:
    """What a `Codec` has stored of a clip.

    Attributes:
        parts: bytes of the files, or of the members of a file, by kind; without the sRGB video.
        seconds: processor seconds that storing took.
        frames: decodes all frames but the first, in order; `seconds` are processor seconds.
    """

    parts: Mapping[str, int]
    seconds: float
    frames: Iterator[PredictedFrame]


class Codec(Method):
    """A method whose RAW data are files, so that its rate is their size."""

    @abstractmethod
    def encode(self, clip: BenchmarkClip, count: int, scratch: Path) -> Encoding:
        """Store the first `count` frames of a clip in an empty folder, which decoding reads.

        Raises:
            InputError: a frame is missing or damaged.
            UsageError: the clip can't be stored like this.
        """

    def predict(self, clip: BenchmarkClip, wanted: Sequence[int]) -> Iterator[PredictedFrame]:
        """As `Method.predict`."""
        with TemporaryDirectory() as scratch:
            yield from self.encode(clip, wanted[-1] + 1, Path(scratch)).frames

    def metadata_bytes(self, clip: BenchmarkClip) -> float:
        """0: what `encode` stores is known afterwards."""
        return 0.0


class TrainedMethod(Method):
    """A method that runs a trained network.

    Attributes:
        kind: kind of the models that it runs.
    """

    kind: ClassVar[str]

    def __init__(self, model: "Model", device: str = "cpu") -> None:
        """Set up the method.

        Args:
            model: a model of this kind.
            device: device that the network runs on.

        Raises:
            ModelError: the model is of another kind.
        """
        if model.kind != self.kind:
            raise ModelError(f"{model.name}: a model of kind {model.kind!r}, not {self.kind!r}")
        self.name = model.name
        self._sha256 = model.sha256
        self._network: Any = model.network.to(device)

    def key(self) -> dict[str, str]:
        """As `Method.key`."""
        return {**super().key(), "model": self._sha256}


def switches_of(model: "Model") -> dict[str, bool]:
    """The switches of a model's configuration and training, as columns of the ablation table."""
    facts = {**model.config, **model.training}
    return {name: value for name, value in facts.items() if isinstance(value, bool)}
