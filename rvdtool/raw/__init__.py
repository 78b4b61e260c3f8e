"""RAW frames: reading, writing, developing, and Bayer geometry."""
