"""How to de-render a bundle."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rvdtool.raw.dng import Compression
from rvdtool.reconstruct.chain import GainMode

if TYPE_CHECKING:
    from rvdtool.network.checkpoint import Model


@dataclass(frozen=True)
class DerenderOptions:
    """How to de-render.

    Attributes:
        compression: of the DNGs.
        flow: folder of `.npy` flows, each from a frame to the next (RVD's layout); None: estimated.
        gain: whether changes of brightness are the ISP's, see
            `rvdtool.reconstruct.brightness`. `auto` uses the bundle's exposures, if it has any.
        existing: what to do with an output folder that has files in it.
        model: a trained network on its device (`rvdtool.network.device.place`); None: none is
            needed.
        name: of the files and the reel; None: the clip's own.
        time_code: of frame 0, as `14:23:11:05`; None: the video's, else the RAW's.
        rate: frames per second, for a video of variable frame rate; None: that of its median.
        audio: write the video's sound beside the frames.
        confidence: a folder for maps of each frame's expected error; None: none are written.
        frames: the only frames to write, in steps of 1; None: all.
        grain: add the sensor noise that reconstructed frames lack.
    """

    compression: Compression = "ljpeg"
    flow: Path | None = None
    gain: GainMode = "auto"
    existing: Literal["refuse", "overwrite", "resume"] = "refuse"
    model: "Model | None" = None
    name: str | None = None
    time_code: str | None = None
    rate: Fraction | None = None
    audio: bool = True
    confidence: Path | None = None
    frames: range | None = None
    grain: bool = False
