"""Workers end with their parent process."""

import subprocess
import sys

PARENT = """
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from rvdtool.research.workers import end_with_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, get_context("spawn"), end_with_parent)
    pool.submit(print, "working", flush=True)
    pool.submit(time.sleep, 600)
    time.sleep(600)
"""


def test_a_busy_worker_ends_with_its_parent(tmp_path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"working\n"
    parent.kill()
    # The pipe ends when nobody holds it any more: neither parent nor worker.
    assert parent.communicate(timeout=60)[0] == b""
