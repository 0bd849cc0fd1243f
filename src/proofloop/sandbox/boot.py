"""Entry point of a fork-server's process: `python boot.py CONTROL TIER`.

Makes the few files that it needs importable without running any package's `__init__` (which would
load third-party packages), hands over to `zygote`, and leaves no trace of them in `sys.modules`
for candidates to find by name.
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
    from proofloop.sandbox import zygote

    for name in [n for n in sys.modules if n.split(".")[0] == "proofloop"]:
        del sys.modules[name]
    control, tier = sys.argv[1:]
    sys.argv[:] = [""]
    zygote.main(control, tier)


if __name__ == "__main__":
    _main()
