"""A pytest plugin that gives each of pytest-xdist's workers a core of its own.

Otherwise, each worker starts as many threads as there are cores, and they compete: two workers on
two cores were hardly faster than a single one. `make test` loads the plugin before anything that
counts the cores.
"""

import os

_worker = os.environ.get("PYTEST_XDIST_WORKER", "")
if _worker and hasattr(os, "sched_setaffinity"):
    _cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores[int(_worker.removeprefix("gw")) % len(_cores)]})
