"""Candidates that are missing or wrong have little weight."""

import numpy as np
from small_shots import Array, pan, raw_frame, render, texture

from rvdtool.raw.bayer import normalise
from rvdtool.reconstruct.affinity import Evidence, Past, gather
from rvdtool.reconstruct.brightness import Ratio, Shading
from rvdtool.reconstruct.chain import Chain
from rvdtool.reconstruct.flow import flow_image
from rvdtool.reconstruct.fusion import fuse
from rvdtool.reconstruct.motion import Motion


def evidence_of(
    first: Array, now: Array, down: float, shading: Shading, flash: Array | None = None
) -> tuple[Evidence, Array]:
    """Evidence of `now`, and the RAW of the reference frame `first`. The flow to it points `down`
    frame heights down. A `flash` is the previous frame, after which the reference is lost."""
    reference = raw_frame(first)
    chain = Chain(reference, render(first))
    rgb = render(now)
    grey = flow_image(rgb)
    previous = chain.calibration.inverse_isp(render(first if flash is None else flash))
    near = np.zeros((*grey.shape, 2), np.float32)
    evidence, _ = gather(
        chain.calibration,
        rgb,
        chain.calibration.inverse_isp(rgb),
        grey,
        Motion(near, near + np.float32([0, down * grey.shape[0]]), lost=flash is not None),
        Past(
            previous.value,
            previous.clipped,
            Ratio(1.0, shading),
            near,
            chain.calibration.tracked,
        ),
        None,
        False,
        False,
    )
    return evidence, normalise(reference.mosaic, reference.black, reference.white)


def test_shading_does_not_grow_beyond_the_frame() -> None:
    """A flow that leads ten frame heights beyond the reference frame, as after a long pan."""
    known = np.column_stack([1e3 * np.eye(3), 1e3 * np.array([-0.4, -0.3, -0.1])])
    evidence, raw = evidence_of(*pan(2), 10, Shading(known))
    assert max(float(np.abs(x).max()) for x in (evidence.first_fit, evidence.anchored.value)) < 2
    value, _ = fuse(evidence.with_previous(raw, np.zeros_like(raw)))
    assert np.abs(value - evidence.fit.value).max() < 0.1


def test_the_reference_has_no_weight_at_intensities_that_it_lacks() -> None:
    """A dark scene after a bright one: no intensity occurs in both, so even the best agreement
    doesn't show the noise."""
    evidence, raw = evidence_of(
        0.3 + texture((96, 128), 1), 0.2 * texture((96, 128), 2), 0, Shading()
    )
    squared_error = float(np.median((evidence.warped.value - evidence.fit.value) ** 2))
    assert squared_error > 0.1**2
    assert np.median(evidence.warped.variance) > squared_error / 10
    value, _ = fuse(evidence.with_previous(raw, np.full_like(raw, 0.1)))
    assert np.median(np.abs(value - evidence.fit.value)) < 1e-3


def test_areas_clipped_in_the_previous_frame_do_not_affect_brightness() -> None:
    """A flash that is clipped everywhere doesn't count as brighter, so the next frame must not
    count as darker."""
    scene = 0.05 + texture((96, 128), 1)
    evidence, _ = evidence_of(scene, scene, 0, Shading(), flash=8 * scene)
    assert evidence.brightness.value == 1
