"""From a bundle to RAW frames: calibrate on frame 1, follow the motion, fuse by variance."""
