"""The interpreter that runs a project's tests, and what of it a sandbox must show."""

import json
import subprocess
import sys
from functools import lru_cache
from typing import NamedTuple

from proofloop.core.errors import UserError

_ASK = """
import importlib.util, json, os, site, sys, sysconfig
paths = [*site.getsitepackages(), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
own = {os.path.realpath(p) for p in paths}
prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
others = [
    os.path.join(prefix, "lib", version, name)
    for prefix in [*prefixes, "/usr", "/usr/local"]
    for version in ["python3", "python%d.%d" % sys.version_info[:2]]
    for name in ["site-packages", "dist-packages"]
]
print(json.dumps({
    "prefixes": prefixes,
    "site_paths": [p for p in dict.fromkeys(paths) if os.path.isdir(p)],
    "others": [p for p in dict.fromkeys(map(os.path.realpath, others))
               if os.path.isdir(p) and not any((q + "/").startswith(p + "/") for q in own)],
    "has_pytest": importlib.util.find_spec("pytest") is not None,
}))
"""
_SYSTEM = ("/usr", "/")
"""Prefixes that every sandbox shows."""


class Interpreter(NamedTuple):
    executable: str
    read: tuple[str, ...]
    """Folders beyond the system's own that it needs."""
    site_paths: tuple[str, ...]
    hidden: tuple[str, ...]
    """Packages of the interpreters that it was made from: one of them may be the project itself, in
    a state that is the answer."""


@lru_cache(maxsize=16)
def interpreter(python: str) -> Interpreter:
    """`python`: its path, or empty for the one that runs us.  Raises UserError where it does not
    run or lacks pytest."""
    executable = python or sys.executable
    try:
        asked = subprocess.run(
            [executable, "-I", "-c", _ASK], capture_output=True, timeout=60, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(
            f"{executable}: cannot be run as the tests' interpreter ({error})"
        ) from error
    facts = json.loads(asked.stdout)
    if not facts["has_pytest"]:
        raise UserError(
            f"{executable} has no pytest, which runs a project's tests: "
            "pip install 'proofloop[projects]', or name an interpreter that has it"
        )
    read = tuple(p for p in dict.fromkeys(facts["prefixes"]) if p not in _SYSTEM)
    return Interpreter(executable, read, tuple(facts["site_paths"]), tuple(facts["others"]))
