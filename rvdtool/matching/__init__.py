"""Whether a RAW frame and a video frame show the same, place by place.

Below `capture` and `reconstruct`, so that both judge alike. NumPy and OpenCV, no torch.

disagreement  where they show different things
prediction    the video frame's colours from the RAW's: a robust fit
"""
