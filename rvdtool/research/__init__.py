"""Research on top of the product: data sets, training, peers and the benchmark.

The product imports nothing of it. Training and the benchmark's figures need more than a plain
installation has: `pip install 'rvdtool[research]'`.
"""

from rvdtool.network import KINDS

KINDS["cam"] = ("rvdtool.research.peers.cam", "CamConfig", "Cam")
