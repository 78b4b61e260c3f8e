"""How many threads reconstruction uses: compiled loops, OpenCV and PyTorch alike."""

import cv2

from rvdtool.errors import UsageError
from rvdtool.reconstruct import compiled

MOST = 256


def use_threads(count: int) -> None:
    """Let this process compute with so many threads.

    Decoding and writing have threads of their own, and NumPy's matrix products, which calibration
    uses, follow OPENBLAS_NUM_THREADS.

    Raises:
        UsageError: not 1 to `MOST`.
    """
    if not 1 <= count <= MOST:
        raise UsageError(f"threads are 1 to {MOST}; got {count}")
    import torch  # takes a second

    compiled.set_threads(count)
    cv2.setNumThreads(count)
    # The network answers to several frames at once instead: no thread waits for others within a
    # layer, and the bytes are the same whatever the number.
    torch.set_num_threads(1)
