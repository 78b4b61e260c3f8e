"""Trained networks as folders, and our own network."""

from typing import Final

KINDS: Final[dict[str, tuple[str, str, str]]] = {
    "fagdn": ("rvdtool.fagdn.network", "FagdnConfig", "Fagdn"),
    "fagdn-calibrated": ("rvdtool.network.calibrated", "CalibratedConfig", "CalibratedFagdn"),
}
"""Kind of model → module, configuration class and network class in it. `rvdtool.research` adds its
own kinds."""
