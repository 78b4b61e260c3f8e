"""RAW frames: reading, writing, developing, and the geometry of the Bayer mosaic."""
