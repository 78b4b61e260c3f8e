"""Writes a bundle's reconstruction to a folder: DNGs, timestamps, sound and checkpoints."""
