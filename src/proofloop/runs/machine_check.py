"""Before anything is judged: does this machine give the isolation that is asked for, and what the
languages of the tasks need?"""

from collections.abc import Iterable, Iterator

import msgspec

from proofloop.core.language import Language
from proofloop.core.task import Composite, Environment, FileTree, Problem, ProgramTests, Tests
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
    """Of programs that are run by commands."""
    return {language for problem in problems for language in _languages(problem.key.tests)}


def _languages(tests: Tests) -> Iterator[Language]:
    match tests:
        case ProgramTests():
            yield tests.language
        case FileTree():  # even Python works on files in a process started for the purpose
            yield msgspec.structs.replace(tests.language, is_forked=False)
        case Composite():
            for part in tests.parts:
                yield from _languages(part.tests)
        case _:
            pass
