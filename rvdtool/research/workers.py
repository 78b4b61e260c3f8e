"""Worker processes that don't outlive the process they work for."""

import os
from multiprocessing import parent_process
from threading import Thread


def end_with_parent() -> None:
    """Call it first in a worker: it ends as soon as its parent has, however that was ended.

    A pool's workers notice only when they ask for more work; until then, one that is left behind
    writes into what its parent's next run makes.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()
