"""Frames and DNGs of an invented camera, small enough to check by eye."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from rvdtool.raw.frame import CameraProfile, CfaPhase, Exposure, RawFrame

CAMERA = CameraProfile(
    unique_model="Acme Filmer 3000",
    make="Acme",
    model="Filmer 3000",
    as_shot_neutral=(0.473, 1.0, 0.6295),
    color_matrix=((0.7564, -0.2316, -0.0731), (-0.4118, 1.2246, 0.2101), (-0.063, 0.1484, 0.5814)),
    illuminant=21,
)


def make_frame(
    size: tuple[int, int] = (22, 34),
    phase: CfaPhase = CfaPhase.RGGB,
    bits: int = 12,
    **changes: Any,
) -> RawFrame:
    """A frame of noise that uses all bits, from a camera with unusual colours."""
    rng = np.random.default_rng([*size, bits])
    frame = RawFrame(
        mosaic=rng.integers(0, 2**bits, size).astype(np.uint16),
        phase=phase,
        black=(16.0, 17.0, 18.0, 19.0),
        white=2**bits - 1,
        bits=bits,
        profile=CAMERA,
        exposure=Exposure(
            time=Fraction(1, 48),
            f_number=Fraction(28, 10),
            iso=800,
            focal_length=Fraction(35),
            lens_model="Acme 35mm F1.4",
            date_time_original="2024:02:29 23:59:58",
        ),
    )
    return replace(frame, **changes)


NEUTRAL = (50728, 5, 3, (473, 1000, 1, 1, 1259, 2000))
MATRIX = (
    50721, 10, 9,
    (7564, 10000, -2316, 10000, -731, 10000, -4118, 10000, 12246, 10000, 2101, 10000,
     -63, 1000, 1484, 10000, 5814, 10000),
)  # fmt: skip
CAMERA_TAGS: dict[int, tuple[int, int, int, Any]] = {
    tag[0]: tag
    for tag in (
        (271, 2, 0, "Acme"),
        (272, 2, 0, "Filmer 3000"),
        (33421, 3, 2, (2, 2)),
        (33422, 1, 4, (0, 1, 1, 2)),
        (50706, 1, 4, (1, 4, 0, 0)),
        (50707, 1, 4, (1, 1, 0, 0)),
        (50708, 2, 0, "Acme Filmer 3000"),
        (50714, 3, 1, 64),
        (50717, 3, 1, 4095),
        MATRIX,
        NEUTRAL,
        (50778, 3, 1, 21),
    )
}


def write_camera_dng(
    path: Path,
    mosaic: np.ndarray[Any, Any],
    *tags: tuple[int, int, int, Any],
    without: tuple[int, ...] = (),
    **options: Any,
) -> Path:
    """A camera's DNG, written by tifffile; `tags` replace CAMERA_TAGS of the same code."""
    used = {**CAMERA_TAGS, **{tag[0]: tag for tag in tags}}
    extratags = [(*tag, True) for code, tag in sorted(used.items()) if code not in without]
    options = {"photometric": "CFA", "metadata": None, "software": False, **options}
    if mosaic.ndim == 3:  # newer tifffile takes [H, W, 3] in LinearRaw for H pages, unless told
        options["planarconfig"] = "contig"
    tifffile.imwrite(path, mosaic, extratags=extratags, **options)
    return path
