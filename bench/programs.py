"""Program tests in several languages: a right program of twenty tests, from text to verdict.

    PYTHONPATH=src python bench/programs.py [--rounds N] [--tier T1] [--json]

`bare`: the same commands as plain subprocesses, without any isolation, in a folder of their own.
Rounds are interleaved; medians are printed.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec

from proofloop.core.language import BUILT_IN, FOLDER, PYTHON, Language
from proofloop.core.sandbox import Limits
from proofloop.core.task import (
    AnswerKey,
    OutputTest,
    ProgramTests,
    Split,
    Stratum,
    Task,
    TaskId,
)
from proofloop.core.verdict import Scored, Tier
from proofloop.verify import ProgramVerifier, build_verifier

NUM_TESTS = 20
_C = (
    "#include <stdio.h>\nint main(void) {\n    long long a, b;\n"
    '    scanf("%lld %lld", &a, &b);\n    printf("%lld\\n", a + b);\n}\n'
)
_CPP = (
    "#include <iostream>\nint main() {\n    long long a, b;\n    std::cin >> a >> b;\n"
    '    std::cout << a + b << "\\n";\n}\n'
)
_JS = (
    "const [a, b] = require('fs').readFileSync(0, 'utf8').split(' ').map(Number);\n"
    "console.log(a + b);\n"
)
_PYTHON = "print(sum(map(int, input().split())))\n"
PROGRAMS: tuple[tuple[str, Language, str], ...] = (
    ("python, forked", PYTHON, _PYTHON),
    ("python, command", msgspec.structs.replace(PYTHON, is_forked=False), _PYTHON),
    ("c", BUILT_IN["c"], _C),
    ("cpp", BUILT_IN["cpp"], _CPP),
    ("javascript", BUILT_IN["javascript"], _JS),
    ("bash", BUILT_IN["bash"], "read a b\necho $((a + b))\n"),
)
TASK = Task(
    id=TaskId("bench@0"),
    env="bench",
    split=Split.HELDOUT,
    stratum=Stratum(family="bench", complexity=0, horizon=1),
    messages=(),
)
PAIRS = tuple((a, 3 * a + 1) for a in range(NUM_TESTS))


def judged_s(verifier: ProgramVerifier, language: Language, source: str, num_tests: int) -> float:
    """Seconds from the answer's text to its verdict, which must be a pass."""
    tests = tuple(
        OutputTest(stdin=f"{a} {b}\n".encode(), stdout=f"{a + b}\n".encode())
        for a, b in PAIRS[:num_tests]
    )
    key = AnswerKey(task_id=TASK.id, tests=ProgramTests(tests=tests, language=language))
    start = time.perf_counter()
    verdict = verifier.verify(TASK, key, source)
    seconds = time.perf_counter() - start
    assert isinstance(verdict, Scored), verdict
    assert verdict.passed, verdict
    return seconds


def bare_s(language: Language, source: str) -> float:
    """The same compilation and runs, with nothing around them."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        (Path(folder) / language.file).write_text(source)
        if language.compile:
            subprocess.run(language.compile, cwd=folder, check=True)
        argv = [part.replace(FOLDER, ".") for part in language.run]
        for a, b in PAIRS:
            ran = subprocess.run(
                argv, cwd=folder, input=f"{a} {b}\n".encode(), capture_output=True, check=True
            )
            assert ran.stdout.split() == [str(a + b).encode()]
        return time.perf_counter() - start


def measure(tier: Tier, num_rounds: int) -> list[dict[str, float | str]]:
    """A row a program, medians in milliseconds."""
    present = [
        (name, language, source)
        for name, language, source in PROGRAMS
        if all(shutil.which(argv[0]) for argv in (language.compile, language.run)
               if argv and FOLDER not in argv[0])
    ]  # fmt: skip
    times: dict[str, list[tuple[float, float, float]]] = {}
    with build_verifier(tier, Limits()) as verifier:
        for _ in range(num_rounds):
            for name, language, source in present:
                all_s = judged_s(verifier, language, source, NUM_TESTS)
                one_s = judged_s(verifier, language, source, 1)
                times.setdefault(name, []).append((all_s, one_s, bare_s(language, source)))
    rows: list[dict[str, float | str]] = []
    for name, measured in times.items():
        all_ms, one_ms, bare_ms = (1000 * median(column) for column in zip(*measured, strict=True))
        rows.append(
            {
                "program": name,
                "judged_ms": round(all_ms, 1),
                "one_test_ms": round(one_ms, 1),
                "per_test_ms": round((all_ms - one_ms) / (NUM_TESTS - 1), 2),
                "bare_ms": round(bare_ms, 1),
                "ratio": round(all_ms / bare_ms, 2),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Program tests in several languages.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tier", choices=list(Tier), default=Tier.T1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = measure(Tier(options.tier), options.rounds)
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{NUM_TESTS} tests, {options.tier}, medians of {options.rounds} rounds, ms")
    print(f"{'program':<16}{'judged':>9}{'1 test':>9}{'a test':>9}{'bare':>9}{'ratio':>7}")
    for row in rows:
        cells = (row["judged_ms"], row["one_test_ms"], row["per_test_ms"], row["bare_ms"])
        print(f"{row['program']:<16}{''.join(f'{cell:>9}' for cell in cells)}{row['ratio']:>7}")


if __name__ == "__main__":
    main()
