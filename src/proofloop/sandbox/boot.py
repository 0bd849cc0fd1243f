"""Entry point of a server process: `python boot.py CONTROL TIER ROLE`.

Makes the few files that it needs importable without running any package's `__init__` (which would
load third-party packages), hands over to the module ROLE, and leaves no trace of them in
`sys.modules` for candidates to find by name.
"""

import os
import sys
from types import ModuleType

# Not pathlib: whatever is imported here is copied with every child.
SOURCE_DIR = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def _main() -> None:
    for name in ("proofloop", "proofloop.core", "proofloop.sandbox"):
        package = ModuleType(name)
        package.__path__ = [os.path.join(SOURCE_DIR, *name.split(".")[1:])]
        sys.modules[name] = package
    control, tier, role = sys.argv[1:]
    # Not importlib: whatever is imported here is copied with every child.
    module = __import__(f"proofloop.sandbox.{role}", fromlist=["main"])
    for name in [n for n in sys.modules if n.split(".")[0] == "proofloop"]:
        del sys.modules[name]
    sys.argv[:] = [""]
    sys.dont_write_bytecode = True  # what programs import is not kept for the next one
    module.main(control, tier)


if __name__ == "__main__":
    _main()
