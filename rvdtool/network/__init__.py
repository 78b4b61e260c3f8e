"""Networks, their configurations and checkpoints: only here and in training is torch needed."""
