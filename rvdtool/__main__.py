"""Run the command line by `python -m rvdtool`."""

import sys

from rvdtool.cli import main

if __name__ == "__main__":
    sys.exit(main())
