"""What a method of the benchmark is: something that predicts a clip's RAW frames."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from rvdtool.raw.frame import Mosaic
from rvdtool.research.benchmark.clip import Clip
from rvdtool.research.fingerprint import code_fingerprint

if TYPE_CHECKING:
    from rvdtool.network.checkpoint import Model

Values = NDArray[np.float32]
"""A predicted mosaic [H, W] in DN, before any rounding."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """One frame, as a method gives it.

    Attributes:
        index: of the frame, 1, 2, ….
        values: DN, [H, W]: float where the protocol is to round, uint16 where the method did.
        seconds: that it took, without reading and scoring; calibration counts with its frame.
    """

    index: int
    values: Values | Mosaic
    seconds: float


class Method(ABC):
    """A way to get RAW frames from an sRGB video and some RAW.

    Attributes:
        name: in tables and file names.
        alone: whether each frame is predicted by itself, so that frames may be left out.
        switches: of the model, by which an ablation names what it leaves out.
        sources: packages and modules below rvdtool whose code the figures depend on.
    """

    name: str
    alone: ClassVar[bool] = False
    switches: Mapping[str, bool] = MappingProxyType({})
    sources: ClassVar[tuple[str, ...]]

    @abstractmethod
    def predict(self, clip: Clip, wanted: Sequence[int]) -> Iterator[Prediction]:
        """Predict frames of a clip in order.

        Args:
            clip: the video.
            wanted: indices (1, 2, …, ascending) of the frames that are asked for. Methods that
                aren't `alone` also yield those between.

        Raises:
            InputError: a frame is missing or damaged.
        """

    def metadata_bytes(self, clip: Clip) -> float:
        """Bytes of RAW a frame that the camera has to store, at the camera's bits, uncompressed.

        Here: the first RAW frame, shared among all frames of the video.
        """
        height, width = clip.reference.size
        return height * width * clip.reference.bits / 8 / len(clip)

    def key(self) -> Mapping[str, str]:
        """What figures depend on besides the clip: they are stale when it changes."""
        return {"name": self.name, "code": code_fingerprint(self.sources)}


def switches_of(model: "Model") -> dict[str, bool]:
    """What a model's configuration and training switched on or off: an ablation's columns."""
    facts = {**model.config, **model.training}
    return {name: value for name, value in facts.items() if isinstance(value, bool)}
