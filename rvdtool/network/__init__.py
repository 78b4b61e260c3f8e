"""Networks, their configurations and checkpoint files. Only here and in training is torch needed."""
