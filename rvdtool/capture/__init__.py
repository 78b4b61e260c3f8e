"""Makes a bundle from a video and RAW frames. May run on a camera: works without torch.

pack       the whole process: read, probe, match, write
match      finds or checks the video frame of each RAW, rates the match and shows it in a preview
verdict    rates a match as good, doubtful or refused, and gives the reasons
stills     parses the user's assignment of RAW files to video frames
align      locates the video's grid on a RAW frame, and chooses the matching frame
compare    measures the similarity between a RAW frame and a video frame
register   finds the homography between them, and the lens distortion; imports OpenCV, so is
           itself imported only when sizes aren't enough
guess      finds starting points for registration
exposures  reads each frame's exposure from a CSV file
trigger    decides while filming at which frames a RAW is kept
preview    draws a picture for judging an alignment by eye
"""
