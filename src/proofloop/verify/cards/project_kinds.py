"""Cards of project suites that need more: a package with folders, files to write, processes."""

import msgspec

from proofloop.core.project import InlineTree, PlannedTest, ProjectTests, TreeFile, file_block
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, fails, passes
from proofloop.verify.cards.project_key import LIMITS, LOST

_NOTES_TESTS = """from notes.book import Book
from notes.text import title


def test_kept(tmp_path):
    book = Book(tmp_path / "book")
    book.add("one")
    book.add("two")
    assert Book(tmp_path / "book").lines() == ["one", "two"]


def test_title():
    assert title("a b") == "A B"
"""
_BOOK = """class Book:
    def __init__(self, path):
        self.path = path

    def add(self, line):
        with open(self.path, "a") as file:
            file.write(line + "\\n")

    def lines(self):
        return self.path.read_text().split()
"""
_TITLE = "def title(text):\n    return text.title()\n"
PACKAGE = Card(
    name="suite-of-a-package",
    tests=ProjectTests(
        tree=InlineTree(
            files=(
                TreeFile(path="src/notes/__init__.py", content=b""),
                TreeFile(path="src/notes/text.py", content=b"def title(text): ...\n"),
                TreeFile(path="tests/data.txt", content=b"1\n"),
            )
        ),
        allowed=("src/notes/**",),
        modules=(TreeFile(path="tests/test_notes.py", content=_NOTES_TESTS.encode()),),
        planned=(
            PlannedTest(node_id="tests/test_notes.py::test_kept"),
            PlannedTest(node_id="tests/test_notes.py::test_title"),
        ),
        import_paths=("src",),
        may_write=True,
        limits=msgspec.structs.replace(LIMITS, file_bytes=1 << 20),
    ),
    gold=file_block("src/notes/book.py", _BOOK) + file_block("src/notes/text.py", _TITLE),
    accepted=(
        passes("deep", "files of its own, in folders of its own",
               file_block("src/notes/book.py", "from notes.inner.book import Book\n")
               + file_block("src/notes/inner/__init__.py", "# ours\n")
               + file_block("src/notes/inner/book.py", _BOOK)
               + "Usage:\n```python\nBook(1)\n```\n" + file_block("src/notes/text.py", _TITLE)),
    ),
    rejected=(
        fails("one", "a file is missing", file_block("src/notes/book.py", _BOOK), C.WRONG_ANSWER),
        fails("no-path", "blocks without a path are no files", f"```python\n{_BOOK}{_TITLE}```\n",
              C.NO_ANSWER),
        fails("twice", "two files of one path",
              file_block("src/notes/text.py", _TITLE)
              + file_block("src/notes/text.py", "title = 1\n"),
              C.CONFLICTING_ANSWERS),
    ),
    adversarial=(
        *(fails(f"file-{i}", "F: not the answer's to write",
                file_block("src/notes/book.py", _BOOK) + file_block("src/notes/text.py", _TITLE)
                + file_block(path, "x = 1\n"), C.FORBIDDEN_FILE)
          for i, path in enumerate(("src/notes/conftest.py", "conftest.py", "tests/data.txt",
                                    "tests/test_notes.py", "src/other.py", "src/notes/a.pth",
                                    "src/notes/book.py/x.py", "src/notes/../../x.py"))),
        fails("residue", "G3: nothing passes from one run to the next",
              file_block("src/notes/book.py", "import os\n"
                    "p = os.path.join(os.environ['TMPDIR'], 'seen')\n"
                    "if not os.path.exists(p):\n    open(p, 'w').close()\n"
                    "    raise LookupError\n" + _BOOK)
              + file_block("src/notes/text.py", _TITLE), C.INVALID_PROGRAM),
        fails("plant", "F1: no test, and nothing of the project, can be written",
              file_block("src/notes/book.py",
                         "open('tests/test_notes.py', 'w').write('')\n" + _BOOK)
              + file_block("src/notes/text.py", _TITLE), C.INVALID_PROGRAM),
    ),
)  # fmt: skip

_JOBS_TESTS = """import subprocess
import sys

from jobs import squares


def test_squares():
    assert squares([1, 2, 3]) == [1, 4, 9]


def test_script():
    done = subprocess.run([sys.executable, "jobs.py", "7"], capture_output=True, text=True)
    assert done.stdout == "49\\n"
"""
_JOBS = """import sys
from concurrent.futures import ThreadPoolExecutor


def squares(numbers):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda n: n * n, numbers))


if __name__ == "__main__":
    print(*squares(map(int, sys.argv[1:])))
"""
_NO_JOBS = "def squares(numbers):\n    return []\n"
_REPORT = """
import os, struct
ready = struct.pack('<BHBidI', 1, 0, 0, 0, 0.0, 0)
claims = b'{"collected": ["test_jobs.py::test_squares", "test_jobs.py::test_script"],' \\
    b'"collection_error": "", "status": 0, "outcomes": [' \\
    b'{"id": "test_jobs.py::test_squares", "outcome": "passed", "error": ""},' \\
    b'{"id": "test_jobs.py::test_script", "outcome": "passed", "error": ""}]}'
report = struct.pack('<BHBidI', 2, 0, 0, 0, 0.0, len(claims)) + claims
"""
PROCESSES = Card(
    name="suite-with-processes",
    tests=ProjectTests(
        tree=InlineTree(files=()),
        allowed=("jobs.py",),
        modules=(TreeFile(path="test_jobs.py", content=_JOBS_TESTS.encode()),),
        planned=(
            PlannedTest(node_id="test_jobs.py::test_squares"),
            PlannedTest(node_id="test_jobs.py::test_script"),
        ),
        limits=msgspec.structs.replace(LIMITS, num_processes=16),
    ),
    gold=_JOBS,
    rejected=(fails("wrong", "one test fails", _NO_JOBS, C.WRONG_ANSWER),),
    adversarial=(
        fails("kill", "D11: a dead controller is the answer's own fault",
              _NO_JOBS + "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n",
              C.CRASH, C.MEMORY_LIMIT, C.INVALID_PROGRAM, C.WRONG_ANSWER),
        fails("kill-all", "D11: nor do they all",
              _NO_JOBS + "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
              C.CRASH, C.MEMORY_LIMIT, C.INVALID_PROGRAM, C.WRONG_ANSWER),
        fails("getfd", "D12: the controller's report is in nobody's reach, by no way",
              f"{_NO_JOBS}{_REPORT}import ctypes\ncall = ctypes.CDLL(None).syscall\n"
              "for pid in range(1, 64):\n    p = call(434, pid, 0)\n"
              "    for fd in range(3, 12) if p >= 0 else ():\n        got = call(438, p, fd, 0)\n"
              "        if got >= 0:\n            try: os.write(got, ready + report * 3)\n"
              "            except OSError: pass\n"
              "    for fd in range(3, 12):\n"
              "        try:\n            with open(f'/proc/{pid}/fd/{fd}', 'wb') as f:\n"
              "                f.write(ready + report * 3)\n"
              "        except OSError: pass\n", C.WRONG_ANSWER, *LOST),
        fails("daemon", "C6: what outlives its run writes to nobody",
              f"{_NO_JOBS}{_REPORT}import time\nif os.fork() == 0:\n    os.setsid()\n"
              "    if os.fork() == 0:\n        for _ in range(40):\n"
              "            for fd in range(3, 64):\n"
              "                try: os.write(fd, report)\n                except OSError: pass\n"
              "            time.sleep(0.1)\n    os._exit(0)\n", C.WRONG_ANSWER, C.TIME_LIMIT,
              *LOST),
        fails("bomb", "H: processes are counted",
              _NO_JOBS + "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n",
              C.TIME_LIMIT, C.MEMORY_LIMIT, *LOST),
    ),
)  # fmt: skip
