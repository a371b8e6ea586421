"""`dcgan` and `python -m dcgan`: the command line, which Ctrl-C ends in one line from the start."""

import sys
from pathlib import Path

from dcgan.system.signals import leave_at_once


def main() -> None:
    """Run the command line and end the process."""
    leave_at_once()
    if Path(sys.argv[0]).name == "__main__.py":
        sys.argv[0] = "dcgan"  # what help and messages call it
    from dcgan.cli import main as run

    run()


if __name__ == "__main__":
    main()
