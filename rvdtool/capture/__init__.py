"""Capture: from a video and a RAW frame to a bundle. May run on a camera: no torch, no OpenCV.

align  where the RAW frame lies on the video's grid
pack   the whole way: read, probe, align, write
"""
