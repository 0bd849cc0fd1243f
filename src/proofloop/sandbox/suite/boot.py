"""Entry point of a suite's controller: `python boot.py`, with jobs on standard input.

Makes the few files that it needs importable without running any package's `__init__`, and leaves
no trace of them in `sys.modules`: the project may have a package of the same name.
"""

import importlib.machinery
import os
import sys
from types import ModuleType

SOURCE_DIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def _main() -> None:
    del sys.path[0]  # this folder; not `-P`, which older interpreters lack
    for name in ("proofloop", "proofloop.sandbox", "proofloop.sandbox.suite"):
        package = ModuleType(name)
        package.__path__ = [os.path.join(SOURCE_DIR, *name.split(".")[1:])]
        sys.modules[name] = package
    for name in ("kernel", "seccomp"):  # by their paths: their folder cannot be listed
        path = os.path.join(SOURCE_DIR, "sandbox", f"{name}.py")
        loader = importlib.machinery.SourceFileLoader(f"proofloop.sandbox.{name}", path)
        module = ModuleType(loader.name)
        loader.exec_module(module)
        sys.modules[loader.name] = module
        setattr(sys.modules["proofloop.sandbox"], name, module)
    from proofloop.sandbox.suite import controller

    for name in [n for n in sys.modules if n.split(".")[0] == "proofloop"]:
        del sys.modules[name]
    sys.argv[:] = [""]
    controller.main()


if __name__ == "__main__":
    _main()
