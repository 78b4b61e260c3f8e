"""A small photograph, and a recipe that simulates a video from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rvdtool.research.dataset.recipe import Recipe
from rvdtool.research.dataset.scene import SourceFolders

CANON_6D = ((0.7034, -0.0804, -0.1014), (-0.4420, 1.2564, 0.2058), (-0.0851, 0.1994, 0.5758))


@pytest.fixture
def folders(tmp_path: Path) -> SourceFolders:
    """A folder with photo.png: a smooth coloured texture, 640×640, without noise."""
    rng = np.random.default_rng(5)
    texture = rng.uniform(0, 1, (640, 640, 3)).astype(np.float32)
    texture = sum(
        cv2.GaussianBlur(texture, (0, 0), s, borderType=cv2.BORDER_REFLECT) * s for s in (4, 12)
    )
    low, high = texture.min(axis=(0, 1)), texture.max(axis=(0, 1))
    photo = np.rint(40 + 200 * (texture - low) / (high - low)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), photo)
    return SourceFolders((tmp_path,))


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """A recipe of 8 frames of 192×192 over photo.png; keywords replace its parts."""

    def make(**changes: Any) -> Recipe:
        sensor = {
            "name": "Test",
            "bits": 14,
            "black": 512,
            "white": 16383,
            "color_matrix": CANON_6D,
            "neutral": (0.5, 1, 0.7),
            "electrons_per_dn": 0.5,
            "read_noise": 6,
        }
        parts: dict[str, Any] = {
            "name": "clip",
            "seed": 3,
            "width": 192,
            "height": 192,
            "frames": 8,
            "background": {"kind": "photo", "path": "photo.png"},
            "light": {"exposure": 0.7, "shutter": 0},
            "sensor": sensor,
        }
        changes["sensor"] = sensor | changes.get("sensor", {})
        return Recipe.model_validate(parts | changes)

    return make
