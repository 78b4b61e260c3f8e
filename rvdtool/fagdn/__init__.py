"""The paper's FAGDN (CVPR 2024): its network, its chain, and its authors' checkpoints."""
