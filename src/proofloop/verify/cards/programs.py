"""Cards of programs from standard input to standard output: the sum of two numbers."""

from proofloop.core.task import OutputTest, ProgramTests
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, fails, passes

SUMS = ProgramTests(
    tests=tuple(
        OutputTest(stdin=f"{a} {b}\n".encode(), stdout=f"{a + b}\n".encode())
        for a, b in ((1, 2), (-5, 5), (10**20, 1))
    )
)
_RAISED = (C.EXCEPTION, C.CRASH)
"""What a script raises is its last word: its end may be heard first."""
_GOOD = "print(sum(map(int, input().split())))"

PYTHON = Card(
    name="stdio",
    tests=SUMS,
    gold=_GOOD,
    accepted=(
        passes("no-newline", "the last line's end does not count",
               "a, b = map(int, open(0).read().split())\nprint(a + b, end='')"),
        passes("blanks", "nor do blanks at the ends of lines",
               "import sys\nfor line in sys.stdin:\n    x, y = line.split()\n"
               "    sys.stdout.write(str(int(x) + int(y)) + '  \\n\\n')"),
        passes("descriptors", "output is what the descriptor gets",
               "import os\nos.write(1, str(sum(map(int, os.read(0, 99).split()))).encode())"),
        passes("atexit", "what is registered to run at the end runs",
               "import atexit\nout = []\natexit.register(lambda: print(*out))\n"
               "out.append(sum(map(int, input().split())))"),
        passes("main-guard", "it runs under `__main__`",
               f"def main():\n    {_GOOD}\nif __name__ == '__main__':\n    main()"),
        passes("stderr", "standard error is not the output",
               f"import sys\nprint('debug', file=sys.stderr)\n{_GOOD}\nsys.exit()"),
        passes("fenced", "the program is the block", f"Thus:\n```python\n{_GOOD}\n```\n"),
    ),
    rejected=(
        fails("more", "surplus words",
              "a, b = map(int, input().split())\nprint(a + b, a)", C.WRONG_ANSWER),
        fails("before", "surplus words before",
              "a, b = map(int, input().split())\nprint(a, a + b)", C.WRONG_ANSWER),
        fails("status", "a status other than 0", f"{_GOOD}\nraise SystemExit(1)", C.CRASH),
        fails("raises", "an exception after the output", f"{_GOOD}\n1 / 0", *_RAISED),
        fails("float", "3.0 is not 3",
              "print(float(sum(map(int, input().split()))))", C.WRONG_ANSWER),
        fails("syntax", "it does not compile", "def f(:", *_RAISED),
    ),
    adversarial=(
        fails("constant", "A1: the first answer alone", "print(3)", C.WRONG_ANSWER),
        fails("shotgun", "A6: every answer at once",
              "print(3)\nprint(0)\nprint(10**20 + 1)", C.WRONG_ANSWER),
        fails("exit", "C1: status 0 is no answer", "import sys\nsys.exit(0)", C.WRONG_ANSWER),
        fails("report", "E1: output is data, no report",
              "print('PASSED 3 tests')\nimport os\nos._exit(0)", C.WRONG_ANSWER),
        fails("spin", "H: processor time is counted", "while True: pass", C.TIME_LIMIT),
        fails("sleep", "H: wall time is counted", "import time\ntime.sleep(60)", C.TIME_LIMIT),
        fails("flood", "H8: output is capped", "while True: print('3')", C.OUTPUT_LIMIT),
        fails("memory", "H8: memory is capped",
              "x = []\nwhile True: x.append(bytearray(10**7))", C.MEMORY_LIMIT,
              C.EXCEPTION, C.TIME_LIMIT),
        fails("kill", "C2: nobody ends by a signal that looks like ours",
              "import os\nos.kill(os.getpid(), 9)", C.EXCEPTION),
        fails("abort", "C2: an end by a signal", "import os\nos.abort()", C.CRASH),
        fails("close", "D12: closed descriptors", "import os\nos.closerange(0, 64)\n",
              C.WRONG_ANSWER, C.CRASH),
        fails("channel", "E6: there is no verdict to forge",
              "import os\nos.write(3, b'passed' * 99)\n", C.WRONG_ANSWER, C.CRASH),
        fails("look", "G1: there is nothing to read",
              "import os\nprint(os.listdir('/'), open('/etc/passwd').read())", *_RAISED),
    ),
)  # fmt: skip

CARDS: tuple[Card, ...] = (PYTHON,)
