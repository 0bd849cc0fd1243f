"""The section `agent` of a recipe."""

from enum import StrEnum

from proofloop.core.record import Record


class AgentDialect(StrEnum):
    """How a policy's turns become actions."""

    NONE = "none"
    DEFINITIONS = "definitions"
    NATIVE = "native"
    SHELL = "shell"


class AgentConfig(Record):
    """Rollouts of several turns with tools, instead of one answer."""

    dialect: AgentDialect = AgentDialect.NONE
    """`none`: a rollout is one answer. `definitions`, for `minirepos`: every turn writes modules
    anew, `done` hands in. In workspaces, for `harbor` and for `minirepos` with `env.pytest`:
    `native` (tool calls as the model's chat template has them: shell, view, search, edit,
    run_tests, note, submit) or `shell` (a block of bash a turn)."""
    turns: int = 0
    """Most turns of a rollout; 0: one more than twice its task's horizon or, in workspaces, eight
    for each part of it and eight more."""
    feedback: bool = True
    """Whether a turn is followed by what the shown tests say of the modules that it wrote; in
    workspaces, whether there are visible tests to run."""
    command_s: int = 20
    """Processor seconds that a command in a workspace may take, or three times as many on
    the clock."""
    context_tokens: int = 0
    """Most tokens of a context and the turn after it; 0: the model's positions."""
    notes_tokens: int = 0
    """Memory: when the context is full, the policy is asked for notes of so many tokens at most,
    and goes on with the task and these alone; 0: a full context ends the rollout."""
