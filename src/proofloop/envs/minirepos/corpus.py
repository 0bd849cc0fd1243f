"""Pre-training texts in which mini-repositories are repaired: an episode up to one of its turns.

Authors are those of `envs.functions.corpus`: ones who write steps and err seldom, ones who nest
everything and err often.  In half of the episodes tests are run; who then sees a test fail tries
the module again, or goes on to the next.  Now and then an author is asked for notes, and goes on
with these alone: that is all the memory there is.
"""

from random import Random

from proofloop.envs.functions.corpus import CorpusMix, Text, spoiled
from proofloop.envs.functions.environment import FUNCTION_NAMES, solution_text
from proofloop.envs.functions.operations import Kind
from proofloop.envs.functions.programs import Chain
from proofloop.envs.minirepos.repository import (
    DONE,
    NOTES,
    Module,
    draw_repository,
    results,
    statement,
    told,
    untold,
    with_notes,
)

TESTED = 0.5
"""Share of episodes in which tests are run."""
AGAIN = 0.6
"""How often a module whose tests fail is tried again, rather than left."""
NOTED = 0.2
"""How often an author is asked for notes after a turn."""
_MOST_AGAIN = 2


def draw_episode(rng: Random, mix: CorpusMix) -> Text:
    family = Kind(rng.choice(mix.families))
    complexity = rng.choices(range(1, len(mix.complexity) + 1), mix.complexity)[0]
    num_bugs = rng.choices(range(1, len(mix.horizon) + 1), mix.horizon)[0]
    num_modules = min(num_bugs + 1, len(FUNCTION_NAMES))
    modules = draw_repository(rng, None, family, complexity, num_bugs, num_modules)
    turns = list(_turns(rng, modules, mix))
    cut = rng.randrange(len(turns))
    prompt, earlier = statement(modules), list[tuple[str, str]]()
    for answer, said, notes in turns[:cut]:
        earlier.append((answer, said))
        if notes is not None:
            prompt, earlier = with_notes(statement(modules), notes), []
    return Text(prompt=prompt, answer=turns[cut][0], earlier=tuple(earlier))


def _turns(
    rng: Random, modules: tuple[Module, ...], mix: CorpusMix
) -> list[tuple[str, str, str | None]]:
    """What is answered, what is said then, and the notes with which a new context begins."""
    nests = rng.random() * (mix.stepwise + mix.lambdas) < mix.lambdas
    wrong = mix.lambdas_wrong if nests else mix.stepwise_wrong
    tested = rng.random() < TESTED
    turns: list[tuple[str, str, str | None]] = []
    done: list[str] = []
    for module in modules:
        if not module.is_buggy:
            continue
        for attempt in range(1 + _MOST_AGAIN):
            chain = spoiled(rng, module.right) if rng.random() < wrong else module.right
            shown = results(module, chain)
            passes = all(test.passed for test in shown)
            again = tested and not passes and attempt < _MOST_AGAIN and rng.random() < AGAIN
            said = told(module.name, shown) if tested else untold(module.name)
            if not again:
                done.append(module.name)
            if done and rng.random() < NOTED:
                turns.append((_written(module.name, chain, nests), f"{said}{NOTES}\n", None))
                turns.append((", ".join(done), "", ", ".join(done)))
            else:
                turns.append((_written(module.name, chain, nests), said, None))
            if not again:
                break
    turns.append((DONE, "", None))
    return turns


def _written(name: str, chain: Chain, nests: bool) -> str:
    nested = chain.nested() if nests else None
    if nested is None:
        return solution_text(name, chain)
    return f"{name} = lambda x: {nested}\n"
