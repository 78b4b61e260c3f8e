"""Set the number of threads of reconstruction, for compiled loops and OpenCV."""

import cv2

from rvdtool.errors import UsageError
from rvdtool.reconstruct import compiled

MOST = 256


def use_threads(count: int) -> None:
    """Set this process's number of computing threads.

    It doesn't apply to decoding, writing and PyTorch. NumPy's matrix products in the calibration
    use OPENBLAS_NUM_THREADS (1 by default on the command line).

    Raises:
        UsageError: `count` isn't 1 to `MOST`.
    """
    if not 1 <= count <= MOST:
        raise UsageError(f"threads are 1 to {MOST}; got {count}")
    compiled.set_threads(count)
    cv2.setNumThreads(count)
