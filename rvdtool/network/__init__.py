"""Networks, their configurations and checkpoint files; only here and in training is torch imported."""
