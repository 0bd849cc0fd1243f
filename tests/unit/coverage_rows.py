"""The short form of the coverage simulations in `bench/coverage`, for tests."""

import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def coverage_part(name: str) -> Any:
    """The module `bench.coverage.<name>`, which lies outside the package."""
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    return importlib.import_module(f"bench.coverage.{name}")
