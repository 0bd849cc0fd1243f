"""One small repository: modules of one function each, some with a bug, and tests of all of them.

A bug is an operation of the function mistaken for another, such that a shown and a hidden test
fail.  The words in which a policy is told of a module are here, too, because the pre-training
corpus must use the same.
"""

from dataclasses import dataclass
from random import Random

from proofloop.core.feedback import ShownTest, call_text, test_line, value_text
from proofloop.core.task import Split
from proofloop.envs.functions.corpus import spoiled
from proofloop.envs.functions.environment import (
    Example,
    Exercise,
    draw_exercises,
    solution_text,
)
from proofloop.envs.functions.operations import Kind
from proofloop.envs.functions.programs import Chain

NUM_SHOWN = 3
DONE = "done"
"""What a policy says when it thinks that all is repaired."""
NOTES = "# notes"
"""What a policy whose context is full is asked for, and what stands above them in the next one."""
_MOST_TRIES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """NAME.py, which defines the function NAME."""

    name: str
    right: Chain
    written: Chain
    """As it stands in the repository."""
    shown: tuple[Example, ...]
    hidden: tuple[Example, ...]

    @property
    def path(self) -> str:
        return f"{self.name}.py"

    @property
    def is_buggy(self) -> bool:
        return self.written != self.right

    @property
    def source(self) -> str:
        return solution_text(self.name, self.written)


def draw_repository(
    rng: Random, split: Split | None, family: Kind, complexity: int, num_bugs: int, num_modules: int
) -> tuple[Module, ...]:
    """Modules with pairwise different behaviours, `num_bugs` of them with a bug."""
    modules: list[Module] | None = None
    while modules is None:
        exercises = draw_exercises(rng, split, family, complexity, num_modules)
        buggy = set(rng.sample(range(num_modules), num_bugs))
        modules = []
        for i, exercise in enumerate(exercises):
            written = _with_a_bug(rng, exercise) if i in buggy else exercise.chain
            if written is None:
                modules = None
                break
            modules.append(
                Module(
                    name=exercise.name,
                    right=exercise.chain,
                    written=written,
                    shown=exercise.shown[:NUM_SHOWN],
                    hidden=exercise.hidden,
                )
            )
    return tuple(modules)


def _with_a_bug(rng: Random, exercise: Exercise) -> Chain | None:
    """None where no drawn mistake shows in both kinds of tests."""
    for _ in range(_MOST_TRIES):
        chain = spoiled(rng, exercise.chain)
        if any(fails(chain, exercise.shown[:NUM_SHOWN])) and any(fails(chain, exercise.hidden)):
            return chain
    return None


def fails(chain: Chain, examples: tuple[Example, ...]) -> tuple[bool, ...]:
    """Of each example, whether this program gets it wrong."""
    return tuple(repr(chain(e.argument)) != repr(e.result) for e in examples)


def results(module: Module, chain: Chain) -> tuple[ShownTest, ...]:
    """Of the module's shown tests, were it this program."""
    return tuple(
        ShownTest(
            call=call_text(module.name, (argument,)),
            wanted=f"== {value_text(wanted)}",
            got=f"gave {value_text(got)}",
            passed=repr(got) == repr(wanted),
        )
        for argument, wanted in module.shown
        for got in (chain(argument),)
    )


def statement(modules: tuple[Module, ...]) -> str:
    """What is asked: the modules that have a bug, each as it stands and with what its tests say."""
    buggy = [m for m in modules if m.is_buggy]
    parts = [f"# fix {', '.join(m.name for m in buggy)}\n"]
    parts += [m.source + tests_text(results(m, m.written)) for m in buggy]
    return "".join(parts)


def tests_text(shown: tuple[ShownTest, ...]) -> str:
    return "".join(f"{test_line(test)}\n" for test in shown)


def told(name: str, shown: tuple[ShownTest, ...]) -> str:
    """What follows a new version of a module, where tests are run."""
    if shown and all(test.passed for test in shown):
        return f"# {name} ok\n"
    return tests_text(shown) or f"# {name} fails\n"


def untold(name: str) -> str:
    """The same, where none are."""
    return f"# {name} written\n"


def with_notes(statement: str, notes: str) -> str:
    """What a new context begins with (`agent.limits.Memory`)."""
    return f"{statement}\n\n{NOTES}\n{notes}"


def oracle_sources(modules: tuple[Module, ...]) -> dict[str, str]:
    """By path, of all modules, repaired."""
    return {m.path: solution_text(m.name, m.right) for m in modules}


def test_module(module: Module, examples: tuple[Example, ...]) -> str:
    """A file that pytest runs."""
    lines = [f"from {module.name} import {module.name}\n"]
    for i, (argument, wanted) in enumerate(examples):
        lines.append(f"\n\ndef test_{i}():\n    assert {module.name}({argument!r}) == {wanted!r}\n")
    return "".join(lines)
