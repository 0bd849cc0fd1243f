"""Which functions of a project each test reaches, and which of their lines some test does.

Every call is noted; lines are followed in a function's first calls of each test only, so that a
slow suite stays usable: a line may be reached and not be known to be, a function may not.
"""

import sys
import threading
from types import CodeType, FrameType
from typing import Any

_FOLLOWED_CALLS = 2
_FOREIGN = -1


class Reach:
    def __init__(self, project: str, prefixes: list[str]) -> None:
        """`prefixes`: of paths from the project's root, of the files that count."""
        self._root = f"{project}/"
        self._prefixes = tuple(self._root + prefix for prefix in prefixes)
        self._places: dict[int, int] = {}
        """By the identity of the code: its hash goes over all of it, at each look."""
        self._codes: list[CodeType] = []
        self._functions: list[tuple[str, int, str]] = []
        self._calls: dict[int, int] = {}
        self._lines: dict[str, set[int]] = {}
        self._now: set[int] = set()
        self._tests: dict[str, set[int]] = {}

    def start(self, test: str) -> None:
        """What is reached from here on is this test's; "" for what loads the tests."""
        self._now = self._tests.setdefault(test, set())
        self._calls = {}
        threading.settrace(self._call)
        sys.settrace(self._call)

    def stop(self) -> None:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]

    def told(self) -> dict[str, Any]:
        return {
            "functions": self._functions,
            "tests": {test: sorted(places) for test, places in self._tests.items()},
            "lines": {path: sorted(lines) for path, lines in self._lines.items()},
        }

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        place = self._places.get(id(code))
        if place is None:
            self._codes.append(code)  # kept, so that no other comes to have its identity
            place = self._places[id(code)] = self._place(code)
        if place == _FOREIGN:
            return None
        self._now.add(place)
        num_calls = self._calls.get(place, 0)
        if num_calls >= _FOLLOWED_CALLS:
            return None
        self._calls[place] = num_calls + 1
        return self._line

    def _line(self, frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            path = frame.f_code.co_filename[len(self._root) :]
            self._lines.setdefault(path, set()).add(frame.f_lineno)
        return self._line

    def _place(self, code: CodeType) -> int:
        if not code.co_filename.startswith(self._prefixes):
            return _FOREIGN
        path = code.co_filename[len(self._root) :]
        self._functions.append((path, code.co_firstlineno, code.co_name))
        return len(self._functions) - 1
