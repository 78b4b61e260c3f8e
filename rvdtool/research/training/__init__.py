"""Training networks on folders in RVD's layout (needs rvdtool[research]).

    presets.py    name → recipe: all that differs between the networks that are trained here
    recipe.py     what a recipe is; fagdn.py (the paper's), cam.py and calibrated.py (ours) are one
                  each
    loop.py       the one loop, on Lightning Fabric: any number of devices and machines
    state.py      a run's files, and how it resumes exactly where it stopped
    curve.py      CSV logs and their picture

Data: pairs.py cuts random crops from the videos; streams.py follows crops frame by frame on the
network's own predictions, with what evidence.py has cached.
"""
