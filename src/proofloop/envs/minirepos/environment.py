"""The environment `minirepos`: small repositories with bugs, to be repaired in several turns.

`env.horizon` is the number of modules with a bug, `env.complexity` the number of operations a
function composes.  Hidden tests of all modules decide, those that were right included.  By default
each hidden call is made in the candidate's process and compared outside of it, which takes
milliseconds and is the strongest verdict there is; with `env.pytest` the same tests are files that
pytest runs in the repository, as in one that was mined.  Not here: the turns (`agent.minirepos`).
"""

from random import Random

from proofloop.core.codec import content_hash
from proofloop.core.errors import UserError
from proofloop.core.project import (
    HandedOut,
    InlineTree,
    PlannedTest,
    ProjectTests,
    TreeFile,
    file_block,
)
from proofloop.core.task import (
    AnswerKey,
    CallTests,
    Message,
    Problem,
    Split,
    Stratum,
    Task,
    TaskId,
)
from proofloop.envs.functions.environment import (
    FUNCTION_NAMES,
    MAX_COMPLEXITY,
    call_test,
    check_values,
    dials,
    place_of,
)
from proofloop.envs.functions.operations import Kind
from proofloop.envs.minirepos.repository import (
    Module,
    draw_repository,
    fails,
    oracle_sources,
    statement,
    test_module,
)

MAX_HORIZON = len(FUNCTION_NAMES)


class MiniReposEnvironment:
    """Problems over the given dials; see the module's docstring."""

    name = "minirepos"

    def __init__(
        self,
        *,
        families: tuple[str, ...] = ("int", "list", "string"),
        complexity: tuple[int, ...] = (1,),
        horizon: tuple[int, ...] = (1, 2, 4),
        pytest: bool = False,
    ) -> None:
        check_values("env.families", families, [k.value for k in Kind])
        check_values("env.complexity", complexity, range(1, MAX_COMPLEXITY + 1))
        check_values("env.horizon", horizon, range(1, MAX_HORIZON + 1))
        self.pytest = pytest
        self._strata = dials(families, complexity, horizon)

    def strata(self, split: Split) -> tuple[Stratum, ...]:
        del split  # the dials hold for every split
        return self._strata

    def num_tasks(self, split: Split, stratum: Stratum) -> int | None:
        del split, stratum
        return None

    def repository(self, split: Split, stratum: Stratum, index: int) -> tuple[Module, ...]:
        """One module more than bugs, as long as there are names."""
        return draw_repository(
            Random(_address(split, stratum, index)),
            split,
            Kind(stratum.family),
            stratum.complexity,
            num_bugs=stratum.horizon,
            num_modules=min(stratum.horizon + 1, MAX_HORIZON),
        )

    def problem(self, split: Split, stratum: Stratum, index: int) -> Problem:
        modules = self.repository(split, stratum, index)
        messages = (Message(role="user", content=statement(modules)),)
        tests = project_tests(modules) if self.pytest else call_tests(modules)
        task_id = TaskId(f"{_address(split, stratum, index)}@{content_hash((messages, tests))}")
        return Problem(
            task=Task(id=task_id, env=self.name, split=split, stratum=stratum, messages=messages),
            key=AnswerKey(task_id=task_id, tests=tests),
            oracle=self.answer_of(oracle_sources(modules)),
        )

    def handed_out(self, split: Split, stratum: Stratum, index: int) -> HandedOut:
        """With `env.pytest`, for an agent in a workspace (`core.task.HandsOutProjects`)."""
        modules = self.repository(split, stratum, index)
        return HandedOut(statement=statement(modules).rstrip(), visible=shown_tests(modules))

    def answer_of(self, sources: dict[str, str]) -> str:
        """What is judged of the modules' texts, by path."""
        if self.pytest:
            return "".join(file_block(path, text) for path, text in sorted(sources.items()))
        return "\n".join(text for _, text in sorted(sources.items()))

    def place_of(self, task_id: str) -> tuple[Split, Stratum, int]:
        """Raises UserError."""
        try:
            split, stratum, index, _ = place_of(self.name, task_id)
            if stratum.horizon > MAX_HORIZON:
                raise ValueError
            found = split, stratum, int(index)
        except ValueError:
            raise UserError(
                f"no task {task_id!r} in environment minirepos; an id looks like "
                "minirepos/heldout/int-c1-h2/17@… (list some with `proofloop tasks minirepos`)"
            ) from None
        return found

    def find(self, task_id: str) -> Problem:
        """Raises UserError for an id of another form, or one whose content has changed."""
        problem = self.problem(*self.place_of(task_id))
        if "@" in task_id and problem.task.id != task_id:
            raise UserError(
                f"task {task_id!r} has changed: this version generates {problem.task.id!r}. "
                "Use the version of Proofloop (and the env.pytest) that drew it."
            )
        return problem


def _address(split: Split, stratum: Stratum, index: int) -> str:
    return f"minirepos/{split}/{stratum.label}/{index}"


def call_tests(modules: tuple[Module, ...]) -> CallTests:
    """Hidden calls of all modules; the shown ones are those of the modules with a bug."""
    return CallTests(
        calls=tuple(call_test(m.name, example) for m in modules for example in m.hidden),
        shown=tuple(
            call_test(m.name, example) for m in modules if m.is_buggy for example in m.shown
        ),
    )


def project_tests(modules: tuple[Module, ...]) -> ProjectTests:
    """The same as files of pytest."""
    files = [(f"tests/test_{m.name}.py", test_module(m, m.hidden)) for m in modules]
    return ProjectTests(
        tree=InlineTree(
            files=tuple(TreeFile(path=m.path, content=m.source.encode()) for m in modules)
        ),
        allowed=tuple(m.path for m in modules),
        modules=tuple(TreeFile(path=path, content=text.encode()) for path, text in files),
        planned=tuple(
            PlannedTest(node_id=f"{path}::test_{i}", was_failing=was_failing)
            for (path, _), m in zip(files, modules, strict=True)
            for i, was_failing in enumerate(fails(m.written, m.hidden))
        ),
    )


def shown_tests(modules: tuple[Module, ...]) -> tuple[TreeFile, ...]:
    """Of the modules with a bug, as files of pytest."""
    return tuple(
        TreeFile(path=f"tests/test_{m.name}_shown.py", content=test_module(m, m.shown).encode())
        for m in modules
        if m.is_buggy
    )
