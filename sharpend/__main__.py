"""`python -m sharpend` is `sharpend`.

For `sharpend once` the fork server of the workers starts before the command line loads: a user
waits for both.
"""

import importlib
import sys


def main() -> int:
    """Run `sharpend`; returns the exit status."""
    if sys.argv[1:2] != ["once"]:
        return int(importlib.import_module("sharpend.cli").main())
    importlib.import_module("sharpend.commands.stdout").open_closed()  # before pipes are
    ahead = importlib.import_module("sharpend.workers.ahead")
    ahead.start()
    try:
        return int(importlib.import_module("sharpend.cli").main())
    finally:
        ahead.end()


if __name__ == "__main__":
    sys.exit(main())
