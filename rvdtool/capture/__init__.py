"""Capture: from a video and RAW frames to a bundle. May run on a camera: without torch.

pack       the whole way: read, probe, match, write
match      each RAW's frame: found or checked, rated, and shown in a preview
verdict    rates a match as good, doubtful or refused, and says why
stills     which RAW file belongs to which frame, as the user says it
align      where a RAW frame lies on the video's grid, and which frame it belongs to
compare    how alike a RAW frame and a video frame are
register   finds the homography between them, and the lens; needs OpenCV, imported only when
           sizes aren't enough
guess      … and starting points for it
exposures  each frame's exposure, from a CSV file
preview    a picture to judge an alignment by
"""
