"""The panel for tests that are no functions: project suites, file trees, structured answers, and
programs in other languages, for real and without whatever uses up a limit."""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from proofloop.cli import main
from proofloop.core.sandbox import Limits
from proofloop.core.task import (
    AnswerKey,
    ChoiceAnswer,
    Composite,
    Environment,
    JsonAnswer,
    Place,
    Problem,
    ProjectTests,
    Split,
    SqlQuery,
    SqlState,
    Stratum,
    Task,
    TaskId,
    Tests,
    TextAnswer,
)
from proofloop.core.verdict import Tier
from proofloop.envs.answers import AnswersEnvironment
from proofloop.envs.exercism import ExercismEnvironment
from proofloop.envs.files import FilesEnvironment
from proofloop.envs.stdio import StdioEnvironment
from proofloop.runs.environments import iter_problems
from proofloop.sandbox import probe
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.audit import ATTACKS, ODDITIES, Kind, Trial, run_panel, trials, variations
from proofloop.verify.audit.kinds import fixtures_of, wrong_answers
from proofloop.verify.audit.sql_fixtures import sql_mutants
from proofloop.verify.cards import CARDS
from proofloop.verify.cards.project_kinds import PACKAGE
from proofloop.verify.cards.projects import SUITE
from proofloop.verify.cards.sql import QUERY, STATE
from proofloop.verify.cards.suite_source import hollow, with_code

EXERCISM = Path("../shared/data/exercism_python.tar.gz")
ANSWERS = Path("examples/answers.jsonl")


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    """The cards, which most attacks are from, are tried on every tier."""
    tier = next(report.tier for report in reversed(probe()) if report.available
                and report.tier.rank <= Tier.T1.rank)  # fmt: skip
    with build_verifier(tier, Limits(wall_s=8.0)) as built:
        yield built


def _own(name: str, tests: Tests, oracle: str) -> Problem:
    task_id = TaskId(f"own/{name}@0")
    stratum = Stratum(family="own", complexity=0, horizon=1)
    task = Task(id=task_id, env="own", split=Split.HELDOUT, stratum=stratum, messages=())
    return Problem(task=task, key=AnswerKey(task_id=task_id, tests=tests), oracle=oracle)


def _problems(environment: Environment) -> list[Problem]:
    return list(iter_problems(environment, Split.HELDOUT, 100))


def _quick(problems: list[Problem]) -> list[Trial]:
    """Without what uses up a limit."""
    found = (f for problem in problems for f in fixtures_of(problem, ATTACKS, ODDITIES))
    costly = {(fixture.kind, fixture.name) for fixture in found if fixture.costly}
    return [trial for trial in trials(problems) if (trial.kind, trial.name) not in costly]


def _misjudged(verifier: ProgramVerifier, tried: list[Trial]) -> list[str]:
    return [
        f"{row.task_id} {row.kind} {row.row} {row.name}: {row.verdict.cause}: {row.verdict.detail}"
        for row in run_panel(verifier, iter(tried))
        if row.escaped or row.evaded or row.refused
    ]


@pytest.mark.parametrize(
    "kind", [k for k in get_args(Tests) if k.__name__ != "MathAnswer"], ids=lambda k: k.__name__
)
def test_every_kind_has_attacks_and_right_answers_in_odd_clothes(kind: type[Tests]) -> None:
    cards = [card for card in CARDS if isinstance(card.tests, kind)]
    names = {Kind.ATTACK: set[str](), Kind.HONEST: set[str]()}
    for card in cards:
        problem = _own(card.name, card.tests, card.gold)
        for fixture in fixtures_of(problem, ATTACKS, ODDITIES):
            if fixture.kind in names:
                names[fixture.kind].add(fixture.name)
            if fixture.kind is Kind.ATTACK:
                assert fixture.answer != card.gold, (card.name, fixture.name)
                assert fixture.row[:1] in tuple("ABCDEFGHIJK"), (card.name, fixture.name)
    assert len(names[Kind.ATTACK]) >= 10, names
    assert len(names[Kind.HONEST]) >= 4, names


# --- project suites ---


def test_the_panel_on_suites(verifier: ProgramVerifier) -> None:
    """One file, whole; a package of several, in part."""
    one, many = (_own(card.name, card.tests, card.gold) for card in (SUITE, PACKAGE))
    tried = _quick([one, many])
    attacks = Counter(trial.problem.task.id for trial in tried if trial.kind is Kind.ATTACK)
    assert attacks[one.task.id] >= 50
    assert attacks[many.task.id] >= 40
    assert "unchanged" in {trial.name for trial in tried if trial.kind is Kind.BLANK}
    ours = [t for t in tried if t.problem is many or t.kind is not Kind.ATTACK]
    # The card's own test runs the attacks on the first one.
    assert _misjudged(verifier, ours[::12]) == []


def test_a_stub_that_works_is_found(verifier: ProgramVerifier) -> None:
    ledger = ExercismEnvironment(EXERCISM).find("exercism/ledger")
    tried = [t for t in trials([ledger]) if t.kind in (Kind.BLANK, Kind.ORACLE)]
    (finding,) = _misjudged(verifier, tried)
    assert "blank  unchanged: passed" in finding


@pytest.mark.slow
def test_the_panel_on_exercism() -> None:
    environment = ExercismEnvironment(EXERCISM)
    names = ("leap", "circular-buffer", "grep", "error-handling", "zipper")
    problems = [environment.find(f"exercism/{name}") for name in names]
    with build_verifier(Tier.T1, Limits()) as verifier:
        assert _misjudged(verifier, _quick(problems)) == []


def test_mutants_of_a_suite_s_solution_are_judged_as_files(verifier: ProgramVerifier) -> None:
    problem = _own("tally", SUITE.tests, SUITE.gold)
    found = wrong_answers(problem, 6)
    assert len(found) == 6
    assert len(wrong_answers(_own("notes", PACKAGE.tests, PACKAGE.gold), 50)) >= 5
    passed = [what for answer, what in found[:3]
              if verifier.verify(problem.task, problem.key, answer).cause == "passed"]  # fmt: skip
    assert len(passed) < 3


def test_hollow_text_defines_the_same_and_does_nothing() -> None:
    source = (
        "import re\nN = 3\nT = f(2)\n\ndef f(x):\n    return x\n\n"
        "class A:\n    def __init__(self, x):\n        self.x = x\n    def get(self):\n"
        "        return self.x\n"
    )
    assert hollow(source, ["T", "f", "more"]) == (
        "import re\nN = 3\n\ndef f(x):\n    return None\n\nclass A:\n\n"
        "    def __init__(self, x):\n        self.x = x\n\n    def get(self):\n        return None"
        "\nT = None\nmore = None\n"
    )
    called = with_code("def f(x):\n    'Doc.'\n    return x\n", "raise KeyError")
    assert called == 'def f(x):\n    """Doc."""\n    raise KeyError\n    return x\n'


# --- structured answers ---


def test_the_panel_on_structured_answers(verifier: ProgramVerifier) -> None:
    problems = _problems(AnswersEnvironment(ANSWERS))
    tried = _quick(problems)
    kinds = {type(problem.key.tests) for problem in problems}
    assert kinds == {TextAnswer, ChoiceAnswer, JsonAnswer, SqlQuery, SqlState, Composite}
    assert len({trial.name for trial in tried if trial.kind is Kind.ATTACK}) >= 150
    assert _misjudged(verifier, tried) == []


@pytest.mark.parametrize(
    "tests",
    [
        pytest.param(JsonAnswer(wanted="[1, 2]", any_order=True), id="any order"),
        pytest.param(JsonAnswer(wanted='{"a": 1, "b": true}', integral_floats=True), id="floats"),
        pytest.param(JsonAnswer(wanted="null"), id="null"),
        pytest.param(JsonAnswer(wanted='"x"', place=Place.FINAL), id="text in a box"),
        pytest.param(TextAnswer(gold="A 1", ignore_case=True, place=Place.WHOLE), id="whole text"),
        pytest.param(TextAnswer(gold="7"), id="one letter"),
    ],
)
def test_what_a_key_allows_is_no_attack(verifier: ProgramVerifier, tests: Tests) -> None:
    assert isinstance(tests, JsonAnswer | TextAnswer)
    gold = tests.wanted if isinstance(tests, JsonAnswer) else tests.gold
    oracle = f"\\boxed{{{gold}}}" if tests.place is Place.FINAL else gold
    assert _misjudged(verifier, _quick([_own("key", tests, oracle)])) == []


def test_slips_in_sql() -> None:
    assert isinstance(QUERY.tests, SqlQuery)
    found = dict(sql_mutants(QUERY.tests, "SELECT MAX(a) FROM t WHERE a > 1 AND b = 2;"))
    assert {text.removeprefix("```sql\n").removesuffix("\n```\n"): what
            for text, what in found.items()} == {
        "SELECT MIN(a) FROM t WHERE a > 1 AND b = 2": "function, line 1",
        "SELECT MAX(a) FROM t WHERE a > 1 OR b = 2": "boolean, line 1",
        "SELECT MAX(a) FROM t WHERE a > 1 AND b <> 2": "comparison, line 1",
        "SELECT MAX(a) FROM t WHERE a >= 1 AND b = 2": "comparison, line 1",
        "SELECT MAX(a) FROM t WHERE a > 2 AND b = 2": "off by one, line 1",
        "SELECT MAX(a) FROM t WHERE a > 1 AND b = 3": "off by one, line 1",
        "SELECT MAX(a) FROM t ": "filter, line 1",
    }  # fmt: skip
    assert isinstance(STATE.tests, SqlState)
    script = [what for _, what in sql_mutants(STATE.tests, "DELETE FROM a;\nDELETE FROM b;")]
    assert script == ["removed statement 1", "removed statement 2"]


def test_a_single_database_lets_constants_escape(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proofloop.runs.audit.trials", _quick)
    row = {
        "prompt": "How many?",
        "kind": "sql_query",
        "databases": [{"setup": "CREATE TABLE t(a); INSERT INTO t VALUES (1), (5);",
                       "rows": [[2]]}],
        "solution": "SELECT COUNT(*) FROM t",
    }  # fmt: skip
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    assert main(["audit", "answers", "--data", str(file), "--json"]) == 1
    result = json.loads(capfd.readouterr().out)
    assert [finding["name"] for finding in result["findings"]] == ["constants-of-database-1"]
    assert {line["name"] for line in result["stability"]} >= {"after a thought", "under load"}


# --- programs in other languages, and what programs leave behind ---

_PRODUCTS = {
    "bash": "while read -r a b; do echo $((a * b)); done\n",
    "c": '#include <stdio.h>\nint main(void) {\n    long a, b;\n    while (scanf("%ld %ld", &a, &b)'
    ' == 2) printf("%ld\\n", a * b);\n}\n',
    "javascript": "for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\\n')) {"
    "\n    const [a, b] = line.split(' ').map(Number);\n    console.log(a * b);\n}\n",
    "cpp": "#include <iostream>\nint main() {\n    long a, b;\n"
    "    while (std::cin >> a >> b) std::cout << a * b << std::endl;\n}\n",
}
_SORTED = {
    "python": "import os\nlines = sorted(open('in/a.txt'))\nos.makedirs('out')\n"
    "open('out/b.txt', 'w').writelines(lines)\n"
    "os.remove('old.log')\nos.chmod('out/b.txt', 0o755)\n",
    "bash": "mkdir out\nsort in/a.txt > out/b.txt\nrm old.log\nchmod 755 out/b.txt\n",
    "c": "#include <stdio.h>\n#include <sys/stat.h>\n#include <unistd.h>\nint main(void) {\n"
    '    mkdir("out", 0755);\n    FILE *f = fopen("out/b.txt", "w");\n'
    '    fputs("a\\nb\\nc\\n", f);\n    fclose(f);\n    unlink("old.log");\n'
    '    chmod("out/b.txt", 0755);\n}\n',
    "javascript": "const fs = require('fs');\nfs.mkdirSync('out');\n"
    "fs.writeFileSync('out/b.txt', 'a\\nb\\nc\\n');\nfs.unlinkSync('old.log');\n"
    "fs.chmodSync('out/b.txt', 0o755);\n",
}
_COMPILERS = {"c": "gcc", "cpp": "g++", "javascript": "node", "bash": "bash", "python": "sh"}
_SLOW = ("cpp", "javascript")


def _languages(names: dict[str, str]) -> list[object]:
    return [pytest.param(name, marks=pytest.mark.slow if name in _SLOW else ()) for name in names]


def _write(tmp_path: Path, row: dict[str, object]) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    return file


def _needs(language: str) -> None:
    if shutil.which(_COMPILERS[language]) is None:
        pytest.skip(f"no {_COMPILERS[language]} on this machine")


@pytest.mark.parametrize("language", _languages(_PRODUCTS))
def test_the_panel_on_programs(verifier: ProgramVerifier, tmp_path: Path, language: str) -> None:
    _needs(language)
    row = {
        "question": "Print the product of each line.",
        "inputs": ["1 2\n3 4\n", "10 -4\n0 0\n"],
        "outputs": ["2\n12\n", "-40\n0\n"],
        "solution": _PRODUCTS[language],
        "language": language,
    }
    (problem,) = _problems(StdioEnvironment(_write(tmp_path, row)))
    tried = _quick([problem])
    attacks = [trial for trial in tried if trial.kind is Kind.ATTACK]
    assert len(attacks) >= 30
    some = [trial for trial in tried if trial.kind is not Kind.ATTACK] + attacks[::6]
    assert _misjudged(verifier, some) == []
    assert [v.name for v in variations(problem, _PRODUCTS[language])] == ["reordered", "reworded"]


@pytest.mark.parametrize("language", _languages(_SORTED))
def test_the_panel_on_file_trees(verifier: ProgramVerifier, tmp_path: Path, language: str) -> None:
    _needs(language)
    given = {"in/a.txt": "c\na\nb\n", "old.log": "x"}
    row = {
        "prompt": "Sort.",
        "given": given,
        "wanted": {"in/a.txt": given["in/a.txt"], "out/b.txt": "a\nb\nc\n", "old.log": None},
        "executable": ["out/b.txt"],
        "language": language,
        "solution": _SORTED[language],
    }
    (problem,) = _problems(FilesEnvironment(_write(tmp_path, row)))
    tried = _quick([problem])
    names = {trial.name for trial in tried}
    assert {"written-out", "last-byte-other", "a-link-to-it", "what-was-to-go-is-there"} <= names
    assert _misjudged(verifier, tried[::4]) == []


def test_variations_of_a_suite_keep_its_files(verifier: ProgramVerifier) -> None:
    problem = _own("tally", SUITE.tests, SUITE.gold)
    assert isinstance(problem.key.tests, ProjectTests)
    found = list(variations(problem, SUITE.gold))
    assert [v.name for v in found] == ["renamed", "other twins", "reworded"]
    for variation in found:
        verdict = verifier.verify(problem.task, problem.key, variation.answer)
        assert verdict.cause == "passed", (variation.name, verdict)
