"""From a bundle to RAW frames: calibrate on the reference frame, follow the motion, fuse by
variance."""
