"""Capture: from a video and RAW frames to a bundle. May run on a camera: without torch.

pack       the whole way: read, probe, match, write
match      each RAW with its frame: found or checked, judged, and shown
verdict    good, doubtful or refused, and the reason, in words
stills     which RAW file belongs to which frame, as the user says it
align      where a RAW frame lies on the video's grid, and which frame it belongs to
compare    how alike a RAW frame and a video frame are
register   finding the homography between them, and the lens; with OpenCV, imported only when
           sizes alone don't tell
guess      … and where that may start
exposures  each frame's exposure, from a CSV file
preview    a picture to judge an alignment by
"""
