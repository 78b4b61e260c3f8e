"""Small RVD folders and networks for the tests of training."""

from pathlib import Path

import cv2
import numpy as np
from lightning_fabric import Fabric

from rvdtool.fagdn.network import FagdnConfig
from rvdtool.network.calibrated import CalibratedConfig
from rvdtool.raw.bayer import color_index, denormalise
from rvdtool.raw.frame import CfaPhase
from rvdtool.research.dataset.rvd import (
    RvdFolder,
    RvdVideo,
    RvdWriter,
    VideoCamera,
    frame_names,
    open_rvd,
    write_frame_raw,
    write_frame_srgb,
)
from rvdtool.research.peers.cam import CamConfig
from rvdtool.research.training.calibrated import CalibratedTask
from rvdtool.research.training.cam import CamTask
from rvdtool.research.training.fagdn import FagdnTask
from rvdtool.research.training.task import Settings, TrainingTask

SIZE = (96, 112)
BLACK = (64.0, 65.0, 66.0, 64.5)
TINY = Settings(steps=6, batch=2, crop=64, rate=1e-3, validate_every=100, save_every=3, log_every=2)


def write_folder(root: Path, videos: int = 2, frames: int = 4) -> RvdFolder:
    """Videos that pan over a coloured texture, each in a CFA phase of its own."""
    writer = RvdWriter(root)
    for number in range(videos):
        rng = np.random.default_rng(number)
        wide = rng.uniform(0, 1, (SIZE[0] + 32, SIZE[1] + 32, 3)).astype(np.float32)
        wide = cv2.GaussianBlur(wide, (0, 0), 2)
        wide = 0.05 + 0.5 * (wide - wide.min()) / (wide.max() - wide.min())
        phase = list(CfaPhase)[number % 4]
        names = frame_names(frames)
        for index, name in enumerate(names):
            light = wide[2 * index :, 3 * index :][: SIZE[0], : SIZE[1]]
            mosaic = np.take_along_axis(light, color_index(phase, SIZE)[..., None], 2)[..., 0]
            mosaic = mosaic + rng.normal(0, 0.002, SIZE).astype(np.float32)
            write_frame_raw(root, f"v{number}", name, denormalise(mosaic, BLACK, 4000))
            rgb = np.rint(255 * light ** np.float32(0.45)).astype(np.uint8)
            write_frame_srgb(root, f"v{number}", name, rgb)
        camera = VideoCamera(bits=12, black=BLACK, white=4000, phase=phase, name="Test")
        writer.finish(RvdVideo(video_name=f"v{number}", frames=names), camera)
    return open_rvd(root)


def make(kind: str, folder: RvdFolder, scratch: Path, settings: Settings = TINY) -> TrainingTask:
    """A task that trains a tiny network of that kind on `folder`, and also validates on it."""
    if kind == "fagdn-calibrated":
        task = CalibratedTask(
            [folder],
            folder,
            settings,
            scratch / "evidence",
            config=CalibratedConfig(widths=(4, 4, 8, 8), heads=2),
        )
        task.prepare(0, 1, lambda _: None)
        return task
    if kind == "cam":
        return CamTask([folder], folder, settings, config=CamConfig(features=2))
    return FagdnTask([folder], folder, settings, config=FagdnConfig(features=2))


def one_process() -> Fabric:
    return Fabric(accelerator="cpu", devices=1, precision="32-true")
