"""Find where a RAW frame and a video frame show different content.

Used by `capture` and `reconstruct`. It needs NumPy and OpenCV, but not PyTorch.

disagreement  a map of the differences
prediction    a robust fit that predicts the video frame's colours from the RAW
"""
