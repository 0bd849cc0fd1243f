"""Projects as scenes: a copy-on-write workspace each, with the tools of an agent.

Shown are the tree as the task hands it out and the visible tests; hidden tests and, of a project
that the interpreter also has installed, that copy (the twin) are nowhere to be found.  What is
judged are the files that were changed where the task allows it (`agent.projects`).
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from proofloop.agent.asks import Asks
from proofloop.agent.dialects import Dialect
from proofloop.agent.limits import Memory
from proofloop.agent.permissions import COMMAND_LIMITS, Permissions
from proofloop.agent.projects import on_project
from proofloop.agent.repository import Base, import_names, twins
from proofloop.agent.site import Site
from proofloop.agent.tools import STANDARD, RunTests, Tool
from proofloop.core.project import FolderTree, ProjectTests
from proofloop.core.sandbox import Sandbox, Workspace
from proofloop.core.task import HandsOutProjects, Message, Problem
from proofloop.runs.recipe_agent import AgentConfig
from proofloop.runs.scenes import Scene
from proofloop.train.crew import Assignment
from proofloop.verify.projects.interpreter import interpreter

AT_ONCE = 64
_PATIENCE = 3
"""Seconds on the clock for each of computing: a busy machine is no fault of the agent's."""
_STEADY = (("PYTHONHASHSEED", "0"), ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"))
"""So that equal work is told of in equal words, and only the set's plugins are loaded."""
_MEND = (
    "\n\nThe project is in the current folder. Change its sources so that this is mended, then "
    "submit. Tests that you do not see decide."
)
_TEST = " Those that you do see are run by: {}"
"""For a policy that has no tool for it."""


class WorkspaceSetting:
    """`agent.dialect = "native"` or `"shell"`."""

    max_faults = 3
    at_once = AT_ONCE
    may_cut = True

    def __init__(
        self,
        config: AgentConfig,
        environment: HandsOutProjects,
        dialect: Dialect,
        sandbox: Sandbox,
    ) -> None:
        """`sandbox`: closed with the setting."""
        self.dialect = dialect
        notes = config.notes_tokens
        self.memory: Memory | None = Memory(max_notes_tokens=notes) if notes else None
        self._tools = _tools(config.feedback)
        self._feedback = config.feedback
        self._limits = msgspec.structs.replace(
            COMMAND_LIMITS, cpu_s=config.command_s, wall_s=float(_PATIENCE * config.command_s)
        )
        self._environment = environment
        self._sandbox = sandbox

    def scenes(self, assignment: Assignment, problem: Problem) -> tuple[Scene, ...]:
        tests = problem.key.tests
        assert isinstance(tests, ProjectTests), "checked with the recipe"
        place = (assignment.split, assignment.stratum, assignment.index)
        handed = self._environment.handed_out(*place)
        base = base_of(tests)
        visible = handed.visible if self._feedback else ()

        def site(workspace: Workspace) -> Site:
            return Site(
                workspace=workspace,
                permissions=base.permissions(Permissions(limits=self._limits)),
                environment=(*base.environment, *_STEADY),
                test_command=test_command(base, tests),
            )

        def play(begin: Callable[[Site], Asks]) -> Asks:
            return on_project(
                self._sandbox, tests, lambda workspace: begin(site(workspace)), visible=visible
            )

        said = handed.statement + _MEND
        if visible and self.dialect.shown(()) is None:
            said += _TEST.format(" ".join(("python", *test_command(base, tests)[1:])))
        scene = Scene(
            messages=(Message(role="user", content=said),),
            tools=self._tools,
            max_turns=8 * (problem.task.stratum.horizon + 1),
            play=play,
        )
        return (scene,) * assignment.num_samples

    def close(self) -> None:
        self._sandbox.close()


def _tools(feedback: bool) -> tuple[Tool, ...]:
    return tuple(tool for tool in STANDARD if feedback or not isinstance(tool, RunTests))


def base_of(tests: ProjectTests) -> Base:
    """What commands in the project's workspaces need of the machine.  Raises UserError for an
    interpreter that does not run."""
    found = interpreter(tests.python)
    tree = Path(tests.tree.folder) if isinstance(tests.tree, FolderTree) else None
    names = () if tree is None else import_names(tree, tests.import_paths)
    return Base(
        tree=tree or Path(),
        python=found.executable,
        host_read=found.read,
        hidden=tuple(twins(found.site_paths, names)),
        import_paths=tests.import_paths,
    )


def test_command(base: Base, tests: ProjectTests) -> tuple[str, ...]:
    """As the hidden tests are run, as far as it shows."""
    config = ("-c", tests.config) if tests.config else ()
    plugins = (word for name in tests.plugins for word in ("-p", name))
    return (*base.test_command, "--tb=short", *config, *plugins)
