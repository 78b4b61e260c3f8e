"""Reconstruct RAW frames from a bundle: calibrate on the reference frame, estimate motion, and fuse
candidates by their variances."""
