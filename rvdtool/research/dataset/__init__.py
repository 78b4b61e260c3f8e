"""Data sets of RAW video: simulated, built from what users have, and read for training."""
