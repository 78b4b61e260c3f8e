"""FAGDN as its paper has it (CVPR 2024): the network, its chain, and its authors' checkpoints."""
