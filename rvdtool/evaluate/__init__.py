"""How good reconstructed RAW frames are: figures and pictures."""
