"""The panel for real: every attack fails and every oddity passes, on both tiers, against generated
tasks (call tests), HumanEval's (test programs) and test programs that are easier to fool.  Also the
mutants, the variations and the verb."""

import ast
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofloop.cli import main
from proofloop.core.sandbox import Limits
from proofloop.core.task import (
    AnswerKey,
    CallTests,
    CheckProgram,
    Environment,
    MathAnswer,
    Problem,
    Split,
    Stratum,
    Task,
    TaskId,
)
from proofloop.core.verdict import Scored, Tier
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.envs.gsm8k import Gsm8kEnvironment
from proofloop.envs.humaneval import HumanEvalEnvironment
from proofloop.envs.math import MathEnvironment
from proofloop.envs.stdio import StdioEnvironment
from proofloop.runs.audit import available_tiers
from proofloop.runs.environments import iter_problems
from proofloop.runs.stability import stability
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.audit import (
    ATTACKS,
    ODDITIES,
    Family,
    Kind,
    TrialRow,
    Variation,
    mutants,
    run_panel,
    trials,
    variations,
)
from proofloop.verify.audit.math_fixtures import wrong_numbers
from proofloop.verify.audit.stability import renamed
from proofloop.verify.audit.target import target_of

HUMANEVAL = Path(__file__).parents[2].parent / "shared" / "data" / "humaneval.jsonl.gz"
_EASY = Limits(wall_s=8.0)
"""For honest answers on a busy machine."""
_TIGHT = Limits(wall_s=0.4, cpu_s=1)
"""For attacks that use up their time."""


@pytest.fixture(scope="module")
def verifier(tier: Tier) -> Iterator[ProgramVerifier]:
    with build_verifier(tier, _EASY) as built:
        yield built


def _problems(environment: Environment, *places: int) -> list[Problem]:
    some = list(iter_problems(environment, Split.HELDOUT, max(places) + 1))
    return [some[place] for place in places]


def _humaneval(*places: int) -> list[Problem]:
    if not HUMANEVAL.exists():
        pytest.skip(f"no HumanEval data at {HUMANEVAL}")
    return _problems(HumanEvalEnvironment(HUMANEVAL), *places)


def _own(name: str, check: str, oracle: str) -> Problem:
    """A problem whose tests are the given lines of `check(candidate)`."""
    task_id = TaskId(f"own/{name}@0")
    body = "".join(f"    {line}\n" for line in check.splitlines())
    return Problem(
        task=Task(
            id=task_id,
            env="own",
            split=Split.HELDOUT,
            stratum=Stratum(family="own", complexity=0, horizon=1),
            messages=(),
        ),
        key=AnswerKey(
            task_id=task_id,
            tests=CheckProgram(setup="", check=f"def check(candidate):\n{body}", entry_point="f"),
        ),
        oracle=oracle,
    )


EASY_TO_FOOL = (
    _own(
        "map-and-zip",
        "inputs = [1, 2, 3]\nfor got, want in zip(map(candidate, inputs), [1, 4, 9]):\n"
        "    assert got == want",
        "def f(x):\n    return x * x\n",
    ),
    _own(
        "all-of-a-map",
        "assert all(y == [x, x] for x, y in zip('abc', map(candidate, 'abc')))",
        "def f(x):\n    return [x, x]\n",
    ),
    _own(
        "counted-down",
        "it = iter(range(3, 0, -1))\nwhile (n := next(it, None)) is not None:\n"
        "    assert candidate(n) == str(n)",
        "def f(x):\n    return str(x)\n",
    ),
    _own(
        "drawn-inputs",
        "import random\nfrom string import ascii_lowercase as letters\n"
        "for _ in range(9):\n"
        "    text = ''.join(random.choice(letters) for _ in range(random.randint(10, 20)))\n"
        "    assert candidate(text[::-1]) == text",
        "def f(x):\n    return x[::-1]\n",
    ),
    _own(
        "expects-an-error",
        "try:\n    candidate(0)\n    assert False\nexcept ZeroDivisionError:\n    pass\n"
        "assert candidate(2) == 0.5",
        "def f(x):\n    return 1 / x\n",
    ),
    _own(
        "within-a-tolerance",
        "assert not abs(candidate(2.0) - 4.0) >= 1e-6\nassert candidate(0.5) == 0.25",
        "def f(x):\n    return x ** 2\n",
    ),
    _own(
        "mutable-arguments",
        "given = [3, 1, 2]\nassert candidate(given) == [1, 2, 3]\nassert given == [3, 1, 2]\n"
        "assert candidate([]) == []",
        "def f(x):\n    return sorted(x)\n",
    ),
)


def _judged_otherwise(rows: Iterator[TrialRow]) -> list[str]:
    """One line for each trial that was not judged as it must be."""
    return [
        f"{row.task_id} {row.kind} {row.row} {row.name}: {row.verdict.cause}: {row.verdict.detail}"
        for row in rows
        if row.escaped or row.evaded or row.refused
    ]


_OF_ANSWERS = (Family.ANSWERS, Family.PERSUASION)
_QUICK_ATTACKS = [attack for attack in ATTACKS if not attack.costly]
_QUICK_ODDITIES = [oddity for oddity in ODDITIES if not oddity.costly]


def test_the_panel_on_generated_tasks(verifier: ProgramVerifier) -> None:
    one, two = _problems(FunctionsEnvironment(families=("list",), horizon=(1, 2)), 0, 1)
    assert len(target_of(two).functions) == 2
    attacks = trials([one], attacks=_QUICK_ATTACKS, oddities=())
    assert _judged_otherwise(run_panel(verifier, attacks)) == []
    oddities = trials([two], attacks=_QUICK_ATTACKS[::20])
    assert _judged_otherwise(run_panel(verifier, oddities)) == []


def test_the_panel_on_humaneval(verifier: ProgramVerifier) -> None:
    """One task with a truth value for a result, one whose tests draw their inputs."""
    below_zero, decode = _humaneval(3, 38)
    tried = trials([below_zero], attacks=_QUICK_ATTACKS, oddities=_QUICK_ODDITIES)
    assert _judged_otherwise(run_panel(verifier, tried)) == []
    attacks = [a for a in _QUICK_ATTACKS if a.family in (Family.REACHING, Family.LENIENT)]
    tried = trials([decode], attacks=attacks, oddities=())
    assert _judged_otherwise(run_panel(verifier, tried)) == []


def test_attacks_on_tests_that_are_easy_to_fool(verifier: ProgramVerifier) -> None:
    names = {"stop-iteration", "stop-iteration-subclass", "same-dice", "nan", "infinity",
             "clear-the-arguments", "arguments-become-liars", "alias-of-arguments",
             "base-exception", "generator-exit", "timeout-error", "not-implemented",
             "exception-with-metaclass", "skip-in-call", "exit-subclass"}  # fmt: skip
    chosen = [attack for attack in ATTACKS if attack.name in names]
    assert len(chosen) == len(names)
    tried = trials(EASY_TO_FOOL, attacks=chosen, oddities=_QUICK_ODDITIES[:3])
    assert _judged_otherwise(run_panel(verifier, tried)) == []


def test_attacks_that_use_up_a_limit(tier: Tier) -> None:
    problems = _problems(FunctionsEnvironment(), 0)
    costly = [attack for attack in ATTACKS if attack.costly]
    with build_verifier(tier, _TIGHT) as verifier:
        tried = list(trials([*problems, EASY_TO_FOOL[0]], attacks=costly, oddities=()))
        rows = list(run_panel(verifier, (t for t in tried if t.kind is Kind.ATTACK)))
    assert len(rows) == len(costly)
    assert _judged_otherwise(iter(rows)) == []


def test_the_panel_is_as_large_as_we_say() -> None:
    assert len(ATTACKS) >= 120
    assert len(ODDITIES) >= 100
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert len({attack.template for attack in ATTACKS}) == len(ATTACKS)
    assert len({oddity.name for oddity in ODDITIES}) == len(ODDITIES)
    assert (
        min(Counter(attack.family for attack in ATTACKS)[family] for family in list(Family)[:9])
        >= 10
    )


def test_attacks_are_programs_that_run_as_far_as_they_mean_to() -> None:
    """One that does not even compile would be refused for the wrong reason."""
    target = target_of(_problems(FunctionsEnvironment(), 0)[0])
    broken = {"null-byte", "surrogate-source", "deep-source"}
    for attack in ATTACKS:
        if attack.name not in broken:
            compile(attack.answer(target), attack.name, "exec")


def test_an_attack_knows_what_the_prompt_shows() -> None:
    (problem,) = _problems(FunctionsEnvironment(), 0)
    (function,) = target_of(problem).functions
    shown = ast.literal_eval(function.shown)
    assert (function.name, function.arity, len(shown)) == ("f", 1, 4)
    assert f"assert f({shown[0][0][0]!r}) == {shown[0][1]!r}" in problem.task.messages[0].content
    separate, below_zero = _humaneval(1, 3)
    assert (
        target_of(below_zero).functions[0].shown
        == "[(([1, 2, 3],), False), (([1, 2, -4, 5],), True)]"
    )
    assert target_of(separate).functions[0].arity == 1


# --- mutants ---


def _sources(source: str, name: str = "f") -> dict[str, str]:
    """Mutants of `source`, by operator (the last of each)."""
    return {mutant.operator: mutant.source for mutant in mutants(source, [name])}


@pytest.mark.parametrize(
    ("body", "operator", "mutant"),
    [
        ("return x < 1", "comparison", "return x > 1"),
        ("return x + y", "arithmetic", "return x - y"),
        ("return x + y", "operand", "return y"),
        ("x += 1\n    return x", "removed statement", "pass\n    return x"),
        ("return 3", "off by one", "return 2"),
        ("return True", "constant", "return False"),
        ("return x and y", "boolean", "return x or y"),
        ("return x[1:]", "slice", "return x[1:-1]"),
        ("return x", "return", "return None"),
        ("return not x", "sign or negation", "return x"),
        ("return x if y else 0", "branch", "return 0"),
        ("if x:\n        return y", "condition", "if not x:\n        return y"),
        ("return [v for v in x if v]", "filter", "return [v for v in x]"),
        ("return min(x)", "function", "return max(x)"),
        ("return x.strip()", "removed call", "return x"),
        ("return sorted(x, reverse=y)", "removed argument", "return sorted(x)"),
        ("while x:\n        break", "loop control", "while x:\n        continue"),
    ],
)
def test_a_mutant_of_every_kind(body: str, operator: str, mutant: str) -> None:
    found = _sources(f"def f(x, y):\n    {body}\n")
    assert found[operator] == f"def f(x, y):\n    {mutant}\n"


def test_mutants_differ_from_the_original_and_from_each_other() -> None:
    source = '"""Doc."""\n\ndef f(x: int=0) -> int:\n    """Doc."""\n    return x * x + 1 - 1\n'
    texts = [mutant.source for mutant in mutants(source, ["f"])]
    assert len(texts) == len({*texts, ast.unparse(ast.parse(source)) + "\n"}) - 1
    assert all('"""Doc."""' in text and "x: int=0" in text for text in texts)
    assert {mutant.line for mutant in mutants(source, ["f"])} == {5}


def test_only_functions_that_are_reached_are_mutated_and_a_sample_is_the_same_twice() -> None:
    source = (
        "def f(x):\n    return g(x) + 1\n\ndef g(x):\n    return x * 2\n\n"
        "def other(x):\n    return x - 1\n"
    )
    found = mutants(source, ["f"])
    assert {mutant.line for mutant in found} == {2, 5}
    assert mutants(source, ["f"], at_most=3, seed="a") == mutants(
        source, ["f"], at_most=3, seed="a"
    )
    assert len(mutants(source, ["f"], at_most=3, seed="a")) == 3
    assert set(mutants(source, ["f"], at_most=3, seed="b")) <= set(found)


def test_hidden_tests_reject_mutants_and_weak_ones_show(verifier: ProgramVerifier) -> None:
    (problem,) = _problems(FunctionsEnvironment(complexity=(2,), families=("int",)), 0)
    found = mutants(problem.oracle, ["f"])
    assert len(found) >= 5
    passed = [mutant for mutant in found if _passed(verifier, problem, mutant.source)]
    assert len(passed) < len(found) / 2
    weak = _own("weak", "assert candidate(2) == 4", "def f(x):\n    return x * 2\n")
    survivors = [m.source for m in mutants(weak.oracle, ["f"]) if _passed(verifier, weak, m.source)]
    assert survivors == ["def f(x):\n    return x + 2\n"]


def _passed(verifier: ProgramVerifier, problem: Problem, answer: str) -> bool:
    verdict = verifier.verify(problem.task, problem.key, answer)
    assert isinstance(verdict, Scored)
    return verdict.passed


# --- stability ---


def test_renaming_changes_names_and_nothing_else() -> None:
    source = "def f(x, *, key=0):\n    y = [v for v in sorted(x, key=len)]\n    return y\n"
    assert renamed(source) == (
        "def f(x_renamed, *, key=0):\n"
        "    y_renamed = [v_renamed for v_renamed in sorted(x_renamed, key=len)]\n"
        "    return y_renamed\n"
    )


def test_reordered_tests_are_the_same_tests() -> None:
    (problem,) = _problems(FunctionsEnvironment(), 0)
    found = {v.name: v for v in variations(problem, problem.oracle)}
    tests, reordered = problem.key.tests, found["reordered"].problem.key.tests
    assert isinstance(tests, CallTests)
    assert isinstance(reordered, CallTests)
    assert reordered.calls == tests.calls[::-1]
    asserts = _own("asserts", "assert candidate(1)\nassert candidate(2)", problem.oracle)
    other = {v.name: v for v in variations(asserts, asserts.oracle)}["reordered"].problem.key.tests
    assert isinstance(other, CheckProgram)
    assert other.check == (
        "def check(candidate):\n    assert candidate(2)\n    assert candidate(1)"
    )
    loop = _own("loop", "for x in [1]:\n    assert candidate(x)", problem.oracle)
    assert [v.name for v in variations(loop, loop.oracle)] == ["renamed"]


def test_draws_of_the_tests_are_the_same_for_the_same_answer(verifier: ProgramVerifier) -> None:
    """A wrong program that some draws pass gets one verdict, however often it is asked for."""
    check = "import random\nassert candidate(random.randrange(10)) < 5"
    for answer in ("def f(x): return x", "def f(x):  return x", "def f(x):   return x"):
        problem = _own("draws", check, answer)
        assert len({_passed(verifier, problem, answer) for _ in range(5)}) == 1


# --- the verb ---


@pytest.mark.slow
def test_the_verb_reports_a_clean_environment(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = [a for a in _QUICK_ATTACKS if a.name in ("always-equal", "exit-in-call", "nan")]
    odd = _QUICK_ODDITIES[::10]
    monkeypatch.setattr(
        "proofloop.runs.audit.trials", lambda p: trials(p, attacks=quick, oddities=odd)
    )
    assert main(["audit", "functions", "--tasks", "3", "--mutants", "4", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert main(["audit", "functions", "--tasks", "3", "--mutants", "4"]) == 0
    best, *others = available_tiers()
    assert (result["env"], result["num_tasks"]) == ("functions", 3)
    assert result["tiers"] == [best]
    assert [line["num_escaped"] for line in result["attacks"]] == [0, 0]
    assert {line["name"]: line["num_right"] for line in result["answers"]} == {
        "oracle": 3, "honest": len(odd), "blank": 6, "random": 4,
    }  # fmt: skip
    assert {line["name"] for line in result["stability"]} == {
        "renamed", "reordered", "other worker", "under load",
        *(f"on {tier} instead of {best}" for tier in others),
    }  # fmt: skip
    assert result["flips"] == []
    assert 0 < result["mutation"]["num_mutants"] <= 3 * 4
    assert result["findings"] == []
    assert "0 escaped" in capfd.readouterr().out


def test_the_verb_fails_where_an_attack_escapes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {
        "task_id": "Weak/0",
        "prompt": 'def twice(x):\n    """Twice x.\n    >>> twice(2)\n    4\n    """\n',
        "entry_point": "twice",
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    }
    file = tmp_path / "weak.jsonl"
    file.write_text(json.dumps(row) + "\n")
    quick = [a for a in _QUICK_ATTACKS if a.name == "lookup-else-none"]
    monkeypatch.setattr(
        "proofloop.runs.audit.trials", lambda p: trials(p, attacks=quick, oddities=())
    )
    code = main(["audit", "humaneval", "--data", str(file), "--json"])
    result = json.loads(capfd.readouterr().out)
    assert code == 1
    (finding,) = result["findings"]
    assert (finding["name"], finding["verdict"]["cause"]) == ("lookup-else-none", "passed")
    (weak,) = result["mutation"]["weak"]
    assert weak["task_id"].startswith("Weak/0@")


# --- whole programs and final answers ---

_SUM = {
    "question": "Print the sum of each line.",
    "inputs": ["1 2\n3 4\n", "10 -4\n0 0\n", "2.5 2\n1 1\n"],
    "outputs": ["3\n7\n", "6\n0\n", "4.5\n2\n"],
    "solution": "import sys\nfor line in sys.stdin:\n    a, b = map(float, line.split())\n"
    "    print(f'{a + b:g}')\n",
}
_WORDS = {
    "question": "Sort the words.",
    "inputs": ["b a C\n", "x\n", "a a b\n"],
    "outputs": ["C\na\nb\n", "x\n", "a\na\nb\n"],
    "solution": "print('\\n'.join(sorted(input().split())))\n",
    "float_tol": 1e-6,
}


def _stdio(tmp_path: Path) -> Path:
    file = tmp_path / "stdio.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in (_SUM, _WORDS)))
    return file


def test_the_panel_on_programs(verifier: ProgramVerifier, tmp_path: Path) -> None:
    problems = _problems(StdioEnvironment(_stdio(tmp_path)), 0, 1)
    tried = list(trials(problems))
    quick = {a.name for a in _QUICK_ATTACKS}
    costly = {a.name for a in ATTACKS} - quick
    ours = [t for t in tried if t.name not in costly]
    attacks = {t.name: t.row for t in ours if t.kind is Kind.ATTACK}
    assert len(attacks) >= 180
    assert {"A", "B", "C", "D", "E", "F", "G", "H", "I"} == {row[0] for row in attacks.values()}
    assert len({t.name for t in ours if t.kind is Kind.HONEST}) >= 15
    # Each function attack once, on either problem; those made from the key on both.
    some = [t for t in ours if t.name not in quick or t.problem is problems[len(t.name) % 2]]
    assert _judged_otherwise(run_panel(verifier, iter(some))) == []


def test_the_panel_on_final_answers(verifier: ProgramVerifier, tmp_path: Path) -> None:
    rows = ("1,234", "-7", "0", "2.5")
    file = tmp_path / "gsm8k.jsonl"
    file.write_text(
        "".join(
            json.dumps({"question": f"How many are {gold}?", "answer": f"So\n#### {gold}"}) + "\n"
            for gold in rows
        )
    )
    golds = ("\\frac{1}{2}", "2\\sqrt{3}", "(1, 2)", "x = 5", "\\text{Evelyn}", "0.5")
    latex = tmp_path / "math.jsonl"
    latex.write_text(
        "".join(
            json.dumps({"problem": f"Compute $1 + {place}$.", "answer": gold}) + "\n"
            for place, gold in enumerate(golds)
        )
    )
    for environment, size in ((Gsm8kEnvironment(file), 4), (MathEnvironment(latex), 6)):
        problems = list(iter_problems(environment, Split.HELDOUT, size))
        tried = list(trials(problems))
        attacks = {t.name: t.row for t in tried if t.kind is Kind.ATTACK}
        assert len(attacks) >= 90
        assert {"J", "I", "K"} <= {row[0] for row in attacks.values()}
        assert _judged_otherwise(run_panel(verifier, iter(tried))) == []


def test_slips_of_the_pen_are_other_numbers() -> None:
    problem = _own("slips", "pass", "")
    answers = dict(wrong_numbers(problem, MathAnswer(gold="1,250")))
    assert answers["The final answer is $\\boxed{1251}$."] == "one more"
    assert answers["The final answer is $\\boxed{-1250}$."] == "other sign"
    assert len(answers) == 8
    assert list(wrong_numbers(problem, MathAnswer(gold="x+1"))) == []


@pytest.mark.slow
def test_the_verb_on_programs_on_every_tier(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"first-line-only", "right-then-abort", "oracle", "fenced"}
    monkeypatch.setattr(
        "proofloop.runs.audit.trials", lambda p: [t for t in trials(p) if t.name in names]
    )
    file = str(_stdio(tmp_path))
    assert main(["audit", "stdio", "--data", file, "--all-tiers", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["tiers"] == list(available_tiers())
    assert [line["num_trials"] for line in result["attacks"]] == [2 * len(available_tiers())] * 2
    assert result["mutation"]["num_mutants"] > 4
    assert {line["name"] for line in result["stability"]} >= {"renamed", "reordered", "under load"}


def test_flips_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = _problems(FunctionsEnvironment(), 0)

    def spoilt(problem: Problem, answer: str) -> Iterator[Variation]:
        yield Variation(name="spoilt", problem=problem, answer=f"{answer}\ndel f\n")

    monkeypatch.setattr("proofloop.runs.stability.variations", spoilt)
    columns = list(stability([problem], [["def f(x): return None"]], available_tiers()[:1], 1))
    assert [c.name for c in columns] == ["spoilt", "other worker", "under load"]
    (flip,) = columns[0].flips
    assert (flip.answer, flip.before.cause, flip.after.cause) == ("oracle", "passed", "no_answer")
    assert [c.num_total - c.num_same for c in columns] == [1, 0, 0]
