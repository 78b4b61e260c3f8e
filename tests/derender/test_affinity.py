"""The prior: what isn't there has no weight, however the lens shades."""

import numpy as np
from small_shots import pan, raw_frame, render

from rvdtool.derender.affinity import gather
from rvdtool.derender.brightness import Ratio, Shading
from rvdtool.derender.chain import Chain
from rvdtool.derender.flow import flow_image
from rvdtool.derender.fusion import fuse
from rvdtool.derender.motion import Motion
from rvdtool.raw.bayer import normalise


def test_shading_does_not_grow_beyond_the_frame() -> None:
    """A flow to frame 1 that leads ten frame heights off, as after a long pan."""
    scenes = pan(2)
    first, now = (render(scene) for scene in scenes)
    reference = raw_frame(scenes[0])
    chain = Chain(reference, first)
    calibration = chain.calibration
    known = np.column_stack([1e3 * np.eye(3), 1e3 * np.array([-0.4, -0.3, -0.1])])
    grey = flow_image(now)
    near = np.zeros((*grey.shape, 2), np.float32)
    evidence = gather(
        calibration,
        now,
        calibration.inverse_isp(now),
        grey,
        Motion(near=near, far=near + np.float32([0, 10 * grey.shape[0]])),
        chain.state.fit,
        Ratio(1.0, Shading(known)),
        None,
        False,
    )
    assert max(float(np.abs(x).max()) for x in (evidence.first_fit, evidence.anchored.value)) < 2
    raw = normalise(reference.mosaic, reference.black, reference.white)
    value, _ = fuse(evidence.with_previous(raw, np.zeros_like(raw)))
    assert np.abs(value - evidence.fit.value).max() < 0.1
