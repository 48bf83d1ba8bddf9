"""`python -m sharpend` is `sharpend`."""

import sys

from sharpend.cli import main

if __name__ == "__main__":
    sys.exit(main())
