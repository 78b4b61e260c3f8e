"""Evaluates reconstructed RAW frames by metrics and pictures."""
