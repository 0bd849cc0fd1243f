"""`python -m proofloop` is `proofloop`."""

import sys

from proofloop.cli import main

if __name__ == "__main__":
    sys.exit(main())
