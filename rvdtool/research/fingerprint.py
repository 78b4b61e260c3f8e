"""Hash the code that made a stored result, which is stale when that code changes."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import rvdtool


def code_fingerprint(sources: Sequence[str]) -> str:
    """SHA-256 of the code and data of packages and modules, named as in `reconstruct.flow`."""
    digest = hashlib.sha256()
    root = Path(rvdtool.__file__).parent
    for source in sorted(sources):
        place = root / source.replace(".", "/")
        files = [place.with_suffix(".py")]
        if place.is_dir():  # including learned parameters
            files = sorted(file for file in place.iterdir() if file.suffix in (".py", ".npz"))
        for file in files:
            digest.update(file.relative_to(root).as_posix().encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
