"""Video files and image sequences: probe, decode to display R'G'B', encode, and read sound."""
