"""Collect the photographs that RVD-Sim's parts `photographs`, `sweeps` and `phones…` are made from.

    git clone https://github.com/elementary/wallpapers elementary
    git -C elementary fetch origin '+refs/pull/*/head:refs/pull/*'
    git clone https://github.com/ubuntu-mate/ubuntu-mate-artwork mate
    git clone https://github.com/pop-os/wallpapers pop
    python examples/collect_photographs.py elementary mate pop -o SOURCES

writes SOURCES/photographs/*.jpg, 187 MB, out of the clones' histories; then SOURCES is one of the
folders that `rvdtool research dataset simulate --sources` takes. Existing pictures are kept.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rvdtool.files import write_beside
from rvdtool.research.dataset.photographs import Photograph, read_photographs


def all_photographs() -> tuple[Photograph, ...]:
    """Those of all parts."""
    return read_photographs() + read_photographs("phones")


def collect(clones: Sequence[Path], output: Path) -> list[str]:
    """Write the photographs that the clones have; return the titles of missing ones."""
    missing = []
    for photograph in all_photographs():
        path = output / photograph.path
        if path.exists():
            continue
        for clone in clones:
            command = ["git", "-C", str(clone), "cat-file", "blob", photograph.blob]
            found = subprocess.run(command, capture_output=True, check=False)
            if found.returncode == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
                with write_beside(path) as file:
                    file.write(found.stdout)
                break
        else:
            missing.append(f"{photograph.title} ({photograph.repository}, {photograph.blob})")
    return missing


def main() -> None:
    """Parse the command line and collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clones", nargs="+", type=Path, help="clones of the repositories")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of sources")
    arguments = parser.parse_args()
    missing = collect(arguments.clones, arguments.output)
    if missing:
        sys.exit("missing, as no clone has them: " + "; ".join(missing))


if __name__ == "__main__":
    main()
