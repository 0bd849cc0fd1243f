"""The environment `functions`: programming by example in real Python.

A task shows a few `assert f(...) == ...` lines and asks for the function; hidden inputs, never
shown, decide the reward.  Everything is a pure function of (split, family, complexity, horizon,
index).  Not here: execution of answers (`verify`), the pre-training corpus (`corpus`).
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from proofloop.core.codec import content_hash
from proofloop.core.errors import ConfigError, UserError
from proofloop.core.task import (
    AnswerKey,
    CallTests,
    Message,
    Problem,
    Returns,
    Split,
    Stratum,
    Task,
    TaskId,
    TestCall,
)
from proofloop.core.value import encode
from proofloop.envs.functions.operations import Kind
from proofloop.envs.functions.programs import Chain, behaviour, draw_chain, draw_input

FUNCTION_NAMES = ("f", "g", "h", "k")
NUM_SHOWN = 4
NUM_HIDDEN = 12
MAX_COMPLEXITY = 6
_IMPOSSIBLE = "-impossible"
"""Ends the address of a task whose shown lines contradict each other."""


class Example(NamedTuple):
    argument: Any
    result: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One function to be written: its program, what is shown, what is hidden."""

    name: str
    chain: Chain
    shown: tuple[Example, ...]
    hidden: tuple[Example, ...]


def draw_exercises(
    rng: Random, split: Split | None, family: Kind, complexity: int, horizon: int
) -> tuple[Exercise, ...]:
    """`horizon` exercises with pairwise different behaviours."""
    exercises: list[Exercise] = []
    seen: set[int] = set()
    while len(exercises) < horizon:
        chain = draw_chain(rng, family, complexity, split)
        if (known := behaviour(chain, family)) in seen:
            continue
        examples = _draw_examples(rng, family, chain)
        if examples is None:
            continue
        seen.add(known)
        exercises.append(
            Exercise(
                name=FUNCTION_NAMES[len(exercises)],
                chain=chain,
                shown=examples[:NUM_SHOWN],
                hidden=examples[NUM_SHOWN:],
            )
        )
    return tuple(exercises)


def _draw_examples(rng: Random, family: Kind, chain: Chain) -> tuple[Example, ...] | None:
    """Shown and hidden examples with distinct arguments; None where they would tell too little."""
    arguments: dict[str, Any] = {}
    while len(arguments) < NUM_SHOWN + NUM_HIDDEN:
        argument = draw_input(rng, family)
        arguments[repr(argument)] = argument
    examples = tuple(Example(a, chain(a)) for a in arguments.values())
    shown, hidden = examples[:NUM_SHOWN], examples[NUM_SHOWN:]
    if len({repr(e.result) for e in shown}) < 2 or len({repr(e.result) for e in hidden}) < 3:
        return None
    if all(e.argument == e.result for e in shown):
        return None
    return examples


def prompt_text(exercises: tuple[Exercise, ...]) -> str:
    names = ", ".join(e.name for e in exercises)
    lines = [f"# write {names}"]
    for exercise in exercises:
        for argument, result in exercise.shown:
            lines.append(f"assert {exercise.name}({argument!r}) == {result!r}")
    return "\n".join(lines) + "\n"


def solution_text(name: str, chain: Chain) -> str:
    return "\n    ".join([f"def {name}(x):", *chain.body()]) + "\n"


class FunctionsEnvironment:
    """Problems over the given dials; see the module's docstring."""

    name = "functions"

    def __init__(
        self,
        *,
        families: tuple[str, ...] = ("int", "list", "string"),
        complexity: tuple[int, ...] = (1, 2, 3),
        horizon: tuple[int, ...] = (1,),
    ) -> None:
        check_values("env.families", families, [k.value for k in Kind])
        check_values("env.complexity", complexity, range(1, MAX_COMPLEXITY + 1))
        check_values("env.horizon", horizon, range(1, len(FUNCTION_NAMES) + 1))
        self._strata = dials(families, complexity, horizon)

    def strata(self, split: Split) -> tuple[Stratum, ...]:
        del split  # the dials hold for every split
        return self._strata

    def num_tasks(self, split: Split, stratum: Stratum) -> int | None:
        del split, stratum
        return None

    def problem(self, split: Split, stratum: Stratum, index: int) -> Problem:
        address = f"functions/{split}/{stratum.label}/{index}"
        exercises = draw_exercises(
            Random(address), split, Kind(stratum.family), stratum.complexity, stratum.horizon
        )
        return self._problem(address, exercises, split, stratum)

    def impossible(self, split: Split, stratum: Stratum, index: int) -> Problem:
        """As `problem`, but of the first function the last line shown says that the first line's
        argument gives one of the other results."""
        address = f"functions/{split}/{stratum.label}/{index}{_IMPOSSIBLE}"
        rng = Random(address)
        first, *others = draw_exercises(
            rng, split, Kind(stratum.family), stratum.complexity, stratum.horizon
        )
        argument, result = first.shown[0]
        results = [e.result for e in first.hidden if repr(e.result) != repr(result)]
        lie = Example(argument, rng.choice(results))
        first = replace(first, shown=(*first.shown[:-1], lie))
        return self._problem(address, (first, *others), split, stratum)

    def _problem(
        self, address: str, exercises: tuple[Exercise, ...], split: Split, stratum: Stratum
    ) -> Problem:
        messages = (Message(role="user", content=prompt_text(exercises)),)
        calls = tuple(call_test(e.name, example) for e in exercises for example in e.hidden)
        shown = tuple(call_test(e.name, example) for e in exercises for example in e.shown)
        task_id = TaskId(f"{address}@{content_hash((messages, calls))}")
        task = Task(id=task_id, env=self.name, split=split, stratum=stratum, messages=messages)
        oracle = "".join(solution_text(e.name, e.chain) for e in exercises)
        tests = CallTests(calls=calls, shown=shown)
        return Problem(task=task, key=AnswerKey(task_id=task_id, tests=tests), oracle=oracle)

    def find(self, task_id: str) -> Problem:
        """Raises UserError for an id of another form, or one whose content has changed."""
        try:
            split, stratum, index, digest = place_of(self.name, task_id)
            make = self.impossible if index.endswith(_IMPOSSIBLE) else self.problem
            problem = make(split, stratum, int(index.removesuffix(_IMPOSSIBLE)))
        except ValueError:
            raise UserError(
                f"no task {task_id!r} in environment functions; an id looks like "
                "functions/heldout/int-c2-h1/17@… (list some with `proofloop tasks functions`)"
            ) from None
        if digest and problem.task.id != task_id:
            raise UserError(
                f"task {task_id!r} has changed: this version generates {problem.task.id!r}. "
                "Use the version of Proofloop that drew it."
            )
        return problem


def dials(
    families: tuple[str, ...], complexity: tuple[int, ...], horizon: tuple[int, ...]
) -> tuple[Stratum, ...]:
    """Every cell of them."""
    return tuple(
        Stratum(family=f, complexity=c, horizon=h)
        for f in families
        for c in complexity
        for h in horizon
    )


def place_of(env: str, task_id: str) -> tuple[Split, Stratum, str, str]:
    """Split, stratum, index and digest (empty where there is none) of `ENV/SPLIT/LABEL/INDEX@…`.
    Raises ValueError."""
    name, split, label, place = task_id.split("/")
    family, complexity, horizon = label.split("-")
    stratum = Stratum(
        family=Kind(family).value,
        complexity=int(complexity.removeprefix("c")),
        horizon=int(horizon.removeprefix("h")),
    )
    index, _, digest = place.partition("@")
    if name != env or stratum.label != label:
        raise ValueError(f"not of {env}: {task_id}")
    return Split(split), stratum, index, digest


def call_test(function: str, example: Example) -> TestCall:
    return TestCall(
        function=function,
        args=encode((example.argument,)),
        wanted=Returns(value=encode(example.result)),
    )


def check_values(key: str, values: tuple[Any, ...], allowed: Any) -> None:
    """Raises ConfigError for one that is not allowed, or none at all."""
    wrong = [v for v in values if v not in allowed]
    if wrong or not values:
        raise ConfigError(
            f"{key}: {wrong[0]!r} is not one of {', '.join(map(str, allowed))}"
            if wrong
            else f"{key}: give at least one value"
        )
