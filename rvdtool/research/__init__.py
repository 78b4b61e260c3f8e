"""Research on top of the product: data sets, training, peers and the benchmark.

The product doesn't import this package. Training and the benchmark's figures need further
dependencies: `pip install 'rvdtool[research]'`.
"""

from rvdtool.network import KINDS

KINDS["cam"] = ("rvdtool.research.peers.cam", "CamConfig", "Cam")
