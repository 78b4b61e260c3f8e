"""Training networks on folders in RVD's layout (needs rvdtool[research]).

    presets.py    named training tasks, as chosen on the command line
    task.py     the base class of training tasks; fagdn.py (the paper's network), cam.py and
                  calibrated.py (rvdtool's own network) each define one
    loop.py       the training loop, on Lightning Fabric: any number of devices and machines
    state.py      a run's files, and resuming exactly where it stopped
    curve.py      CSV logs and their plot

Data: pairs.py reads random crops of the videos; crops.py reads random crops with the inputs that
the chain gives the network, which evidence.py computes and stores first.
"""
