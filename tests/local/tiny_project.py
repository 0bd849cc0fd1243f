"""A package of two modules with tests of pytest, mined into tasks in seconds; and what a policy of
the shell dialect says to work on them."""

import sys
from pathlib import Path

from proofloop.core.project import ProjectTests
from proofloop.core.task import Problem
from proofloop.mine.config import MineConfig
from proofloop.mine.pipeline import mine

FILES = {
    "pyproject.toml": '[project]\nname = "tinyproject"\nversion = "1.0"\n',
    "tinyproject/__init__.py": "",
    "tinyproject/words.py": (
        "def shout(text):\n    return text.upper() + '!'\n\n\n"
        "def longest(words):\n    best = ''\n    for word in words:\n"
        "        if len(word) > len(best):\n            best = word\n    return best\n"
    ),
    "tinyproject/sums.py": (
        "def total(numbers):\n    found = 0\n    for number in numbers:\n"
        "        found += number\n    return found\n\n\n"
        "def mean(numbers):\n    if not numbers:\n        return 0\n"
        "    return total(numbers) / len(numbers)\n"
    ),
    "tests/test_words.py": (
        "from tinyproject.words import longest, shout\n\n\n"
        "def test_shout():\n    assert shout('ab') == 'AB!'\n\n\n"
        "def test_longest():\n    assert longest(['a', 'abc', 'ab']) == 'abc'\n"
        "    assert longest(['ab', 'cd']) == 'ab'\n"
    ),
    "tests/test_sums.py": (
        "from tinyproject.sums import mean, total\n\n\n"
        "def test_total():\n    assert total([1, 2, 3]) == 6\n\n\n"
        "def test_mean():\n    assert mean([2, 4]) == 3\n    assert mean([]) == 0\n"
    ),
}


def mined(folder: Path) -> Path:
    """A set of two tasks, of one bug and of two."""
    config = MineConfig(max_tasks=2, horizon=(1, 2), workers=1)
    for path, text in FILES.items():
        place = folder / "project" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    mine(folder / "project", folder / "set", config, python=sys.executable)
    return folder / "set"


def command(text: str) -> str:
    return f"```bash\n{text}\n```"


SUBMIT = command("submit")


def mends(problem: Problem) -> list[str]:
    """Each file that the task handed out broken, as the project has it."""
    tests = problem.key.tests
    assert isinstance(tests, ProjectTests)
    return [command(f"cat > {file.path} <<'END'\n{FILES[file.path]}END") for file in tests.changed]
