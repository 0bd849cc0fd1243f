"""Exercism directories: read strictly, judged for real."""

import io
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proofloop.cli import main
from proofloop.core.errors import ConfigError, DataError, UserError
from proofloop.core.project import ProjectTests
from proofloop.core.sandbox import Limits
from proofloop.core.task import Problem, Split
from proofloop.core.verdict import Integrity, Scored, ScoredCause, Tier
from proofloop.envs.exercism import ExercismEnvironment, names_of_tests
from proofloop.runs.environments import build_environment
from proofloop.runs.recipe import EnvConfig
from proofloop.runs.verification import Attempt, judge
from proofloop.sandbox import probe
from proofloop.verify import ProgramVerifier, build_verifier

DATA = Path("../shared/data/exercism_python.tar.gz")
FEW = ("error-handling", "grep", "circular-buffer", "zipper")
"""A file that tests import; a mocked `open`; exceptions of its own; long literals."""


@pytest.fixture(scope="module")
def environment() -> ExercismEnvironment:
    return ExercismEnvironment(DATA)


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    report = next(report for report in probe() if report.tier is Tier.T1)
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    with build_verifier(Tier.T1, Limits()) as built:
        yield built


def problems(environment: ExercismEnvironment) -> list[Problem]:
    (stratum,) = environment.strata(Split.HELDOUT)
    count = environment.num_tasks(Split.HELDOUT, stratum) or 0
    return [environment.problem(Split.HELDOUT, stratum, index) for index in range(count)]


def suite_of(problem: Problem) -> ProjectTests:
    assert isinstance(problem.key.tests, ProjectTests)
    return problem.key.tests


def test_the_archive_holds_a_hundred_tasks(environment: ExercismEnvironment) -> None:
    found = problems(environment)
    assert len(found) == 100
    for problem in found:
        tests = suite_of(problem)
        prompt = problem.task.messages[0].content
        assert f"`{tests.allowed[0]}`" in prompt
        assert "unittest" not in prompt
        assert problem.oracle not in prompt
        assert len(tests.planned) >= 1
        shown = {file.path for file in tests.tree.files}
        assert not shown & {module.path for module in tests.modules}
        assert not any(path.startswith(".") for path in shown)
    with_files = {p.task.id.split("@")[0]: len(suite_of(p).tree.files) for p in found}
    assert [name for name, count in with_files.items() if count > 1] == ["exercism/error-handling"]


def test_a_folder_reads_as_its_archive(environment: ExercismEnvironment, tmp_path: Path) -> None:
    with tarfile.open(DATA) as archive:
        archive.extractall(tmp_path / "practice", filter="data")
    folder = ExercismEnvironment(tmp_path / "practice")
    assert [p.task.id for p in problems(folder)] == [p.task.id for p in problems(environment)]
    # Within a repository, and one alone.
    assert len(problems(ExercismEnvironment(tmp_path))) == 100
    (one,) = problems(ExercismEnvironment(tmp_path / "practice" / "leap"))
    assert one.task.id == environment.find("exercism/leap").task.id


@pytest.mark.parametrize("slug", FEW)
def test_oracle_passes_and_stub_fails(
    verifier: ProgramVerifier, environment: ExercismEnvironment, slug: str
) -> None:
    problem = environment.find(f"exercism/{slug}")
    verdict = verifier.verify(problem.task, problem.key, problem.oracle)
    assert isinstance(verdict, Scored), verdict
    assert verdict.passed, verdict
    assert verdict.integrity is Integrity.WEAK
    assert verdict.parts["twins_failed"] == verdict.parts["twins_planned"] > 0
    stub = problem.task.messages[0].content
    assert _earned_nothing(verifier.verify(problem.task, problem.key, stub))


@pytest.mark.slow
def test_every_oracle_passes_and_nothing_does_not(environment: ExercismEnvironment) -> None:
    found = problems(environment)
    verdicts = list(judge([Attempt(p, p.oracle) for p in found], tier=Tier.T1))
    assert [v for v in verdicts if not (isinstance(v, Scored) and v.passed)] == []
    empty = judge([Attempt(p, "") for p in found], tier=Tier.T1)
    assert all(_earned_nothing(v) for v in empty)


def _with_a_free_task(folder: Path) -> Path:
    """Two tasks: of one, the stub is a right solution."""
    write(folder / "inc", dict(GOOD))
    free = dict(GOOD)
    free["inc.py"] = GOOD[".meta/example.py"]
    write(folder / "free", free)
    return folder


def test_a_task_that_hands_out_its_solution_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = str(_with_a_free_task(tmp_path))
    assert main(["validate", "exercism", "--data", data]) == 1
    said = capfd.readouterr()
    assert "1 of 2 projects as they are handed out earn 0" in said.out
    assert "exercism/free@" in said.err
    option = 'env.leave_out=["exercism/free"]'
    assert f"--set '{option}'" in said.err
    assert main(["validate", "exercism", "--data", data, "--set", option]) == 0
    assert "1 of 1 oracles earn 1" in capfd.readouterr().out


def test_training_refuses_a_task_that_hands_out_its_solution(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = str(_with_a_free_task(tmp_path / "data"))
    settings = ["--set", "env.name=exercism", "--set", f"env.data={data}"]
    assert main(["train", *settings, "--out", str(tmp_path / "run")]) == 2
    (line,) = [x for x in capfd.readouterr().err.splitlines() if "error" in x]
    assert "1 of 2 tasks reward an answer that changes nothing (exercism/free@" in line
    assert """--set 'env.leave_out=["exercism/free"]'""" in line
    assert not (tmp_path / "run").exists()


def test_tasks_that_are_left_out(tmp_path: Path) -> None:
    data = str(_with_a_free_task(tmp_path))
    whole = build_environment(EnvConfig(name="exercism", data=data))
    some = build_environment(EnvConfig(name="exercism", data=data, leave_out=("exercism/free",)))
    free = whole.find("exercism/free")
    assert [p.task.id for p in problems(some)] == [whole.find("exercism/inc").task.id]
    assert some.find(free.task.id).task.id == free.task.id
    for wrong, what in ((("exercism/fre",), "no task"), (("exercism/inc@0",), "has changed"),
                        (("exercism/inc", "exercism/free"), "all 2 tasks")):  # fmt: skip
        with pytest.raises(ConfigError, match=what):
            build_environment(EnvConfig(name="exercism", data=data, leave_out=wrong))
    with pytest.raises(ConfigError, match="functions reads no file"):
        build_environment(EnvConfig(leave_out=("x",)))


PATCHED = """
import contextlib, unittest
class Anything:
    def __getattr__(self, name): return Anything()
    def __call__(self, *a, **k): return Anything()
    def __getitem__(self, key): return Anything()
    def __iter__(self): return iter(())
    def __enter__(self): return self
    def __exit__(self, *a): return True
for name in dir(unittest.TestCase):
    if name.startswith("assert"):
        setattr(unittest.TestCase, name, lambda *a, **k: Anything())
def __getattr__(name):
    return Anything()
"""
LYING = """
import _pytest.reports as reports
real = reports.TestReport.from_item_and_call.__func__
def lie(cls, item, call):
    report = real(cls, item, call)
    report.outcome = "passed"
    return report
reports.TestReport.from_item_and_call = classmethod(lie)
def __getattr__(name):
    return type(name, (Exception,), {})
"""
FORGED = """
import json, os, _pytest.main as main
real = main.Session.perform_collect
import _pytest.runner as runner
def forge(item, nextitem=None, **_):
    ids = [i.nodeid for i in item.session.items]
    claims = {"collected": ids, "collection_error": "", "status": 0,
              "outcomes": [{"id": i, "outcome": "passed", "error": ""} for i in ids]}
    os.write(3, json.dumps(claims).encode())
    os._exit(0)
runner.runtestprotocol = forge
def __getattr__(name):
    return type(name, (Exception,), {})
"""


@pytest.mark.slow
@pytest.mark.parametrize("attack", [PATCHED, LYING, FORGED], ids=["patched", "lying", "forged"])
def test_no_exercise_falls_to_attacks_within_its_process(
    environment: ExercismEnvironment, attack: str
) -> None:
    found = problems(environment)
    verdicts = list(judge([Attempt(p, attack) for p in found], tier=Tier.T1))
    assert all(_earned_nothing(verdict) for verdict in verdicts)
    caught = [v for v in verdicts if v.cause is ScoredCause.TAMPERING]
    assert len(caught) > 80  # it works, that is, but for the twins


def _earned_nothing(verdict: object) -> bool:
    return isinstance(verdict, Scored) and verdict.reward == 0.0 and not verdict.passed


GOOD = {
    ".docs/instructions.md": "Add one.",
    ".meta/config.json": '{"files": {"solution": ["inc.py"], "test": ["inc_test.py"], '
    '"example": [".meta/example.py"]}}',
    ".meta/example.py": "def inc(x):\n    return x + 1\n",
    "inc.py": "def inc(x):\n    pass\n",
    "inc_test.py": "from inc import inc\n\n\ndef test_inc():\n    assert inc(1) == 2\n",
}


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)


def test_several_files_are_blocks_with_their_paths(
    verifier: ProgramVerifier, tmp_path: Path
) -> None:
    config = (
        '{"files": {"solution": ["a.py", "b.py"], "test": ["t_test.py"],'
        ' "exemplar": [".meta/a.py", ".meta/b.py"]}}'
    )
    files: dict[str, str | bytes] = {
        ".docs/introduction.md": "Say a and b.",
        ".meta/config.json": config,
        ".meta/a.py": "from b import B\nA = B + 1\n",
        ".meta/b.py": 'B = 1\n"""\n```python\nnot the end\n```\n"""\n',
        "a.py": "A = 0\n",
        "b.py": "",
        "t_test.py": "from a import A\n\n\ndef test_a():\n    assert A == 2\n",
    }
    write(tmp_path / "two", files)
    (problem,) = problems(ExercismEnvironment(tmp_path))
    assert "`a.py`, `b.py`" in problem.task.messages[0].content
    verdict = verifier.verify(problem.task, problem.key, problem.oracle)
    assert isinstance(verdict, Scored)
    assert verdict.passed, verdict
    half = "```python a.py\nA = 2\n```\n"
    verdict = verifier.verify(problem.task, problem.key, half)
    assert isinstance(verdict, Scored)
    assert verdict.passed, verdict


def _without(name: str) -> Callable[[dict[str, str | bytes]], object]:
    return lambda files: files.pop(name)


def _with(name: str, content: str | bytes) -> Callable[[dict[str, str | bytes]], object]:
    return lambda files: files.__setitem__(name, content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without(".meta/config.json"), "no .meta/config.json"),
        (_without(".docs/instructions.md"), "nothing says what is asked"),
        (_without("inc.py"), "no inc.py"),
        (_without("inc_test.py"), "no inc_test.py"),
        (_without(".meta/example.py"), "no .meta/example.py"),
        (_with(".meta/config.json", "{"), ".meta/config.json: "),
        (_with(".meta/config.json", "{}"), "missing required field files"),
        (_with(".meta/config.json", '{"files": {"solution": [], "test": ["inc_test.py"]}}'),
         "names no solution file"),
        (_with(".meta/config.json", '{"files": {"solution": ["inc.py"], "test": []}}'),
         "names no test file"),
        (_with(".meta/config.json", '{"files": {"solution": ["inc.py"], "test": ["inc_test.py"]}}'),
         "1 solution and 0 example files"),
        (_with("inc_test.py", "def test_inc(:\n"), "inc_test.py: does not parse (line 1)"),
        (_with("inc_test.py", "x = 1\n"), "inc_test.py: no tests in it"),
        (_with("inc.py", b"\xff"), "inc.py: not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_exercise_is_said(
    tmp_path: Path, change: Callable[[dict[str, str | bytes]], object], said: str
) -> None:
    files: dict[str, str | bytes] = dict(GOOD)
    change(files)
    write(tmp_path / "good", dict(GOOD))
    write(tmp_path / "inc", files)
    with pytest.raises(DataError) as caught:
        ExercismEnvironment(tmp_path)
    assert f"{tmp_path / 'inc'}: " in str(caught.value)
    assert said in str(caught.value)


def test_what_is_no_folder_of_exercises(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder or archive"):
        ExercismEnvironment(tmp_path / "none")
    with pytest.raises(DataError, match="holds no exercises"):
        ExercismEnvironment(tmp_path)
    broken = tmp_path / "x.tar.gz"
    broken.write_bytes(DATA.read_bytes()[:9999])
    with pytest.raises(DataError, match="neither a folder nor a readable"):
        ExercismEnvironment(broken)
    write(tmp_path / "a" / "inc", dict(GOOD))
    write(tmp_path / "b" / "inc", dict(GOOD))
    with pytest.raises(DataError, match="a second exercise named inc"):
        ExercismEnvironment(tmp_path)


def test_links_are_left_out_and_archives_may_have_a_top_folder(tmp_path: Path) -> None:
    write(tmp_path / "inc", dict(GOOD))
    (tmp_path / "inc" / "link.py").symlink_to("/etc/passwd")
    (problem,) = problems(ExercismEnvironment(tmp_path))
    assert [file.path for file in suite_of(problem).tree.files] == ["inc.py"]
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        archive.add(tmp_path / "inc", "./track/exercises/inc")
    packed = tmp_path / "x.tar.gz"
    packed.write_bytes(data.getvalue())
    shutil.rmtree(tmp_path / "inc")
    (same,) = problems(ExercismEnvironment(packed))
    assert same.task.id == problem.task.id


def test_without_pytest_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install"):
        ExercismEnvironment(DATA)


def test_names_come_in_pytest_s_order() -> None:
    source = (
        "import unittest\n"
        "def test_z(): ...\n"
        "class Base(unittest.TestCase):\n"
        "    def test_b(self): ...\n"
        "    def test_a(self): ...\n"
        "    def helper(self): ...\n"
        "class Child(Base):\n"
        "    def test_aa(self): ...\n"
        "class TestPlain:\n"
        "    def test_b(self): ...\n"
        "    def test_a(self): ...\n"
        "class Other:\n"
        "    def test_no(self): ...\n"
        "def test_a(): ...\n"
    )
    assert names_of_tests(source) == [
        "test_z", "Base::test_a", "Base::test_b", "Child::test_a", "Child::test_aa",
        "Child::test_b", "TestPlain::test_b", "TestPlain::test_a", "test_a",
    ]  # fmt: skip
