"""From the `[env]` section of a recipe to an environment, and walks through its problems."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofloop.core.errors import ConfigError, UserError
from proofloop.core.task import Environment, Problem, Split, Stages
from proofloop.runs.config import suggestion
from proofloop.runs.languages import languages_of
from proofloop.runs.recipe import EnvConfig

if TYPE_CHECKING:
    from proofloop.envs.data_file import DataFileEnvironment

ENVIRONMENTS = (
    "answers",
    "exercism",
    "files",
    "functions",
    "gsm8k",
    "harbor",
    "humaneval",
    "math",
    "mbpp",
    "minirepos",
    "stdio",
)


def build_environment(env: EnvConfig) -> Environment:
    """Raises ConfigError for a setting that no environment takes, DataError for its data file."""
    environment = _built(env)
    if env.leave_out:
        from proofloop.envs.data_file import DataFileEnvironment

        if not isinstance(environment, DataFileEnvironment):
            raise ConfigError(f"env.leave_out: {env.name} reads no file to leave tasks out of")
        try:
            environment.leave_out(env.leave_out)
        except UserError as error:
            raise ConfigError(f"env.leave_out: {error}") from error
    return environment


def _built(env: EnvConfig) -> Environment:
    match env.name:
        case "functions":
            from proofloop.envs.functions import FunctionsEnvironment

            if env.data is not None:
                raise ConfigError(
                    f"env.data: functions generates its tasks and reads no file ({env.data!r})"
                )
            return FunctionsEnvironment(
                families=env.families,
                complexity=_values(env.complexity),
                horizon=_values(env.horizon),
            )
        case "minirepos":
            from proofloop.envs.minirepos import MiniReposEnvironment

            if env.data is not None:
                raise ConfigError(
                    f"env.data: minirepos generates its tasks and reads no file ({env.data!r})"
                )
            return MiniReposEnvironment(
                families=env.families,
                complexity=_values(env.complexity),
                horizon=_values(env.horizon),
                pytest=env.pytest,
            )
        case "files":
            from proofloop.envs.files import FilesEnvironment

            return FilesEnvironment(
                _data_of(FilesEnvironment, env), languages=languages_of(env), language=env.language
            )
        case "answers":
            from proofloop.envs.answers import AnswersEnvironment

            return _from_file(AnswersEnvironment, env)
        case "humaneval":
            from proofloop.envs.humaneval import HumanEvalEnvironment

            return _from_file(HumanEvalEnvironment, env)
        case "mbpp":
            from proofloop.envs.mbpp import MbppEnvironment

            return _from_file(MbppEnvironment, env)
        case "exercism":
            from proofloop.envs.exercism import ExercismEnvironment

            return _from_file(ExercismEnvironment, env)
        case "harbor":
            from proofloop.envs.harbor import HarborEnvironment

            return _from_file(HarborEnvironment, env)
        case "stdio":
            from proofloop.envs.stdio import StdioEnvironment

            return StdioEnvironment(
                _data_of(StdioEnvironment, env),
                languages=languages_of(env),
                language=env.language,
                stages=env.stages or Stages(),
            )
        case "gsm8k":
            from proofloop.envs.gsm8k import Gsm8kEnvironment

            return _from_file(Gsm8kEnvironment, env)
        case "math":
            from proofloop.envs.math import MathEnvironment

            return _from_file(MathEnvironment, env)
        case unknown:
            raise ConfigError(
                f"env.name: no environment {unknown!r}{suggestion(unknown, ENVIRONMENTS)}"
            )


def _from_file(kind: "type[DataFileEnvironment[Any]]", env: EnvConfig) -> Environment:
    return kind(_data_of(kind, env))


def _data_of(kind: "type[DataFileEnvironment[Any]]", env: EnvConfig) -> Path:
    if env.data is None:
        raise ConfigError(
            f"env.data: {kind.name} needs its data file: give --data {kind.example} "
            "(or env.data in the recipe)"
        )
    return Path(env.data)


def iter_problems(environment: Environment, split: Split, num_tasks: int) -> Iterator[Problem]:
    """`num_tasks` problems, taking the strata in turn; fewer where the data run out."""
    strata = environment.strata(split)
    sizes = {stratum: environment.num_tasks(split, stratum) for stratum in strata}
    index, left = 0, num_tasks
    while left:
        open_strata = [s for s in strata if (size := sizes[s]) is None or index < size]
        if not open_strata:
            return
        for stratum in open_strata[:left]:
            yield environment.problem(split, stratum, index)
        left -= min(left, len(open_strata))
        index += 1


def size_of(environment: Environment, split: Split) -> int | None:
    """How many problems a split holds; None where they are generated without end."""
    sizes = [environment.num_tasks(split, s) for s in environment.strata(split)]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _values(setting: tuple[int, ...] | int) -> tuple[int, ...]:
    return (setting,) if isinstance(setting, int) else setting
