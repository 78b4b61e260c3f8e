"""Run the network on a frame's prior."""

import torch

from rvdtool.network.calibrated import CalibratedFagdn, ReferencePlanes
from rvdtool.reconstruct.affinity import Prior
from rvdtool.reconstruct.answer import Answer, fits
from rvdtool.reconstruct.packing import Packing, pack_prior
from rvdtool.reconstruct.statistics import Array
from rvdtool.video.frame import Rgb


class Learned:
    """De-renders frames of one clip from their priors by a network, instead of
    `rvdtool.reconstruct.fusion.fuse`.

    It runs on the device of the network's weights. If these are bfloat16, features are, too; the
    final sum is always float32.
    """

    def __init__(
        self,
        network: CalibratedFagdn,
        packing: Packing,
        reference: ReferencePlanes | None,
        gain_tracked: bool,
    ) -> None:
        """Encode the reference frame by the network.

        Args:
            network: in evaluation mode.
            packing: the packing of the clip's mosaics.
            reference: the reference frame; None for a network without GLA, which doesn't see it.
            gain_tracked: whether changes of brightness are attributed to the ISP.
        """
        self._network = network
        self._packing = packing
        self._gain_tracked = gain_tracked
        weight = next(network.parameters())
        self._device, self._half = weight.device, weight.dtype == torch.bfloat16
        self._reference = None
        if reference is not None:
            planes = ReferencePlanes(*(plane.to(self._device) for plane in reference))
            with torch.inference_mode(), self._precision():
                self._reference = network.encode_reference(planes)
        self._answer = Answer(network, packing, gain_tracked) if fits(network) else None

    def __call__(self, prior: Prior, rgb: Rgb) -> Array:
        """Normalised RAW, [H, W]."""
        if self._answer is not None:
            with torch.inference_mode():
                return self._answer(prior, rgb, self._reference)
        planes = pack_prior(self._packing, prior, rgb, self._gain_tracked, self._device)
        with torch.inference_mode(), self._precision():
            value = self._network(planes, self._reference)
        return self._packing.unpack(value)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._half)
