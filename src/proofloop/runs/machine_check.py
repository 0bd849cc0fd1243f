"""Before anything is judged: does this machine give the isolation that is asked for, and what the
languages of the tasks need?"""

from collections.abc import Iterable

from proofloop.core.language import Language
from proofloop.core.task import Environment, FileTree, Problem, ProgramTests
from proofloop.core.verdict import Tier
from proofloop.envs.data_file import DataFileEnvironment
from proofloop.sandbox import open_sandbox
from proofloop.verify.toolchain import check_languages


def check_machine(tier: Tier | None, environment: Environment) -> None:
    """Raises IsolationError for a tier that is not to be had, MissingProgram for a compiler."""
    used = environment.languages() if isinstance(environment, DataFileEnvironment) else ()
    with open_sandbox(tier) as sandbox:
        check_languages(sandbox, used)


def languages_of_problems(problems: Iterable[Problem]) -> set[Language]:
    tests = (problem.key.tests for problem in problems)
    return {t.language for t in tests if isinstance(t, ProgramTests | FileTree)}
