"""Worker processes that end with their parent process."""

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """Make this worker process end when its parent ends, even if the parent is killed.

    To be called first in a worker. A pool's workers would otherwise notice only when they ask for
    more work, and until then would write files that the next run also writes.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
