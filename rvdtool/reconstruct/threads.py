"""How many threads reconstruction uses: compiled loops and OpenCV alike."""

import cv2

from rvdtool.errors import UsageError
from rvdtool.reconstruct import compiled

MOST = 256


def use_threads(count: int) -> None:
    """Let this process compute with so many threads.

    Decoding and writing have threads of their own, a network has PyTorch's, and NumPy's matrix
    products, which calibration uses, follow OPENBLAS_NUM_THREADS.

    Raises:
        UsageError: not 1 to `MOST`.
    """
    if not 1 <= count <= MOST:
        raise UsageError(f"threads are 1 to {MOST}; got {count}")
    compiled.set_threads(count)
    cv2.setNumThreads(count)
