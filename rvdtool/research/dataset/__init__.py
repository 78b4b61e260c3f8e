"""Data sets of RAW video: simulate them, build them from RAW sequences, and read them."""
