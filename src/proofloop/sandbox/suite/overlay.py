"""Project modules from memory: sources in place of files, and code that the controller compiled.

Paths, names and `__file__` stay those of the files, which must exist: only what they say differs.
Standard library only.
"""

import importlib.machinery as machinery
import sys
from collections.abc import Mapping
from types import CodeType


def compiled(paths: list[str]) -> dict[str, CodeType]:
    """By path.  Text is compiled and never run; what does not compile is left to fail later."""
    codes: dict[str, CodeType] = {}
    for path in paths:
        try:
            with open(path, "rb") as file:
                codes[path] = compile(file.read(), path, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return codes


def install(sources: Mapping[str, bytes], codes: Mapping[str, CodeType]) -> None:
    """From now on modules at these absolute paths are what the mappings say; sources go first."""

    class Loader(machinery.SourceFileLoader):
        def get_code(self, fullname: str) -> CodeType | None:
            if self.path not in sources and self.path in codes:
                return codes[self.path]
            return super().get_code(fullname)

        def path_stats(self, path: str) -> dict[str, float]:  # type: ignore[override]
            if path in sources:
                raise OSError  # no bytecode on disk is its own
            return dict(super().path_stats(path))

        def get_data(self, path: str) -> bytes:
            return sources[path] if path in sources else super().get_data(path)

    hook = machinery.FileFinder.path_hook(
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (Loader, machinery.SOURCE_SUFFIXES),
        (machinery.SourcelessFileLoader, machinery.BYTECODE_SUFFIXES),
    )
    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()
