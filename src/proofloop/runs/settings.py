"""Which setting a recipe's agent has, by its dialect."""

from collections.abc import Callable, Mapping

from proofloop.agent.dialects import Dialect, NativeCalls, ShellBlocks
from proofloop.core.errors import ConfigError
from proofloop.core.task import Environment, HandsOutProjects
from proofloop.envs.minirepos import MiniReposEnvironment
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.agent_policy import names_tools
from proofloop.runs.recipe import Recipe
from proofloop.runs.recipe_agent import AgentDialect
from proofloop.runs.scenes import Setting
from proofloop.runs.scenes_minirepos import MiniReposSetting
from proofloop.runs.scenes_workspaces import WorkspaceSetting
from proofloop.sandbox import open_sandbox
from proofloop.verify import ProgramVerifier

Opens = Callable[[Recipe, Environment, ProgramVerifier], Setting]


def _definitions(recipe: Recipe, environment: Environment, verifier: ProgramVerifier) -> Setting:
    assert isinstance(environment, MiniReposEnvironment), "checked with the recipe"
    return MiniReposSetting(recipe.agent, environment, verifier)


def _workspaces(dialect: Dialect) -> Opens:
    def opens(recipe: Recipe, environment: Environment, verifier: ProgramVerifier) -> Setting:
        del verifier  # nothing is judged under way
        assert isinstance(environment, HandsOutProjects), "checked with the recipe"
        sandbox = open_sandbox(recipe.sandbox.tier)
        return WorkspaceSetting(recipe.agent, environment, dialect, sandbox)

    return opens


SETTINGS: Mapping[AgentDialect, Opens] = {
    AgentDialect.DEFINITIONS: _definitions,
    AgentDialect.NATIVE: _workspaces(NativeCalls()),
    AgentDialect.SHELL: _workspaces(ShellBlocks()),
}


def open_setting(
    recipe: Recipe, environment: Environment, verifier: ProgramVerifier
) -> Setting | None:
    """None where a rollout is one answer.  Raises IsolationError, SandboxLost."""
    opens = SETTINGS.get(recipe.agent.dialect)
    return None if opens is None else opens(recipe, environment, verifier)


def check_template(recipe: Recipe, tokenizer: ChatTokenizer) -> None:
    """Raises ConfigError where the model's chat template cannot tell it of tools."""
    if recipe.agent.dialect is AgentDialect.NATIVE and not names_tools(tokenizer):
        raise ConfigError(
            f"agent.dialect: native calls go by the chat template, and that of {recipe.model.path} "
            "does not tell the model of tools; take shell"
        )
