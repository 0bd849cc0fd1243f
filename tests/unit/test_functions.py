"""The environment `functions`: pure, disjoint by behaviour, never degenerate, oracle right."""

from random import Random
from typing import Any

import pytest

from proofloop.core.errors import ConfigError, UserError
from proofloop.core.task import CallTests, Returns, Split, Stratum
from proofloop.core.value import decode, encode
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.envs.functions.corpus import CorpusMix, draw_text, spoiled
from proofloop.envs.functions.environment import NUM_HIDDEN, NUM_SHOWN, draw_exercises
from proofloop.envs.functions.operations import Kind
from proofloop.envs.functions.programs import all_chains, behaviour, draw_chain, probes, split_of

EVERYTHING = FunctionsEnvironment(complexity=(1, 2, 3), horizon=(1, 2))


def run_trusted(source: str) -> dict[str, Any]:
    """Executes a program of our own making; candidates' programs never come here."""
    names: dict[str, Any] = {}
    exec(source, names)
    return names


@pytest.mark.parametrize("stratum", EVERYTHING.strata(Split.TRAIN), ids=lambda s: s.label)
def test_the_oracle_answers_what_is_shown_and_what_is_hidden(stratum: Stratum) -> None:
    for index in range(5):
        problem = EVERYTHING.problem(Split.TRAIN, stratum, index)
        program = run_trusted(problem.oracle)
        exec(problem.task.messages[0].content, program)  # the shown asserts hold
        assert isinstance(problem.key.tests, CallTests)
        for call in problem.key.tests.calls:
            result = program[call.function](*decode(call.args))
            assert call.wanted == Returns(value=encode(result))
        assert len(problem.key.tests.calls) == NUM_HIDDEN * stratum.horizon
        assert problem.oracle.count("def ") == stratum.horizon


def test_a_problem_is_a_pure_function_of_its_address() -> None:
    stratum = EVERYTHING.strata(Split.TRAIN)[3]
    again = FunctionsEnvironment(complexity=(stratum.complexity,))
    assert again.problem(Split.TRAIN, stratum, 7) == EVERYTHING.problem(Split.TRAIN, stratum, 7)
    assert again.problem(Split.TRAIN, stratum, 8) != again.problem(Split.TRAIN, stratum, 7)


def test_an_id_finds_its_problem_and_a_changed_one_is_refused() -> None:
    problem = EVERYTHING.problem(Split.HELDOUT, EVERYTHING.strata(Split.HELDOUT)[0], 3)
    assert EVERYTHING.find(problem.task.id) == problem
    address = problem.task.id.split("@")[0]
    assert EVERYTHING.find(address) == problem
    with pytest.raises(UserError, match="has changed"):
        EVERYTHING.find(f"{address}@0000000000000000")
    for wrong in ("nonsense", "functions/heldout/float-c1-h1/3", "functions/heldout/int-c1-h1/x"):
        with pytest.raises(UserError, match="no task"):
            EVERYTHING.find(wrong)


@pytest.mark.parametrize("family", list(Kind))
def test_splits_share_no_behaviour(family: Kind) -> None:
    seen = {
        split: {
            behaviour(draw_chain(Random(f"{split}{i}"), family, 2, split), family)
            for i in range(60)
        }
        for split in Split
    }
    for split, behaviours in seen.items():
        assert all(split_of(b) is split for b in behaviours)
    assert not seen[Split.TRAIN] & seen[Split.HELDOUT]


@pytest.mark.parametrize("family", list(Kind))
@pytest.mark.parametrize("complexity", [1, 2, 3])
def test_degenerate_programs_are_rejected(family: Kind, complexity: int) -> None:
    for i in range(40):
        chain = draw_chain(Random(i), family, complexity, Split.TRAIN)
        results = [chain(value) for value in probes(family)]
        assert len(chain.operations) == complexity
        assert len({repr(r) for r in results}) >= 4
        assert results != list(probes(family))
        for place in range(complexity) if complexity > 1 else ():
            left_out = chain.operations[place]
            if left_out.source is left_out.target:
                shorter = type(chain)(
                    operations=chain.operations[:place] + chain.operations[place + 1 :]
                )
                assert [shorter(v) for v in probes(family)] != results


def test_hidden_inputs_are_new_and_tell_programs_apart() -> None:
    for i in range(30):
        (exercise,) = draw_exercises(Random(i), Split.TRAIN, Kind.LIST, 2, 1)
        shown = {repr(e.argument) for e in exercise.shown}
        hidden = {repr(e.argument) for e in exercise.hidden}
        assert len(shown) == NUM_SHOWN
        assert len(hidden) == NUM_HIDDEN
        assert not shown & hidden
        assert len({repr(e.result) for e in exercise.hidden}) >= 3


def test_nested_and_stepwise_texts_are_the_same_program() -> None:
    compared = 0
    for i in range(300):
        family = list(Kind)[i % 3]
        chain = draw_chain(Random(i), family, 1 + i % 3, None)
        nested = chain.nested()
        if nested is None:
            continue
        compared += 1
        f = run_trusted(f"f = lambda x: {nested}")["f"]
        assert [f(v) for v in probes(family)] == [chain(v) for v in probes(family)], nested
    assert compared > 100


def test_authors_who_leave_before_the_tests_come_only_if_asked_for() -> None:
    shares = [
        sum(
            draw_text(Random(i), CorpusMix(exits=exits)).answer == "raise SystemExit\n"
            for i in range(300)
        )
        / 300
        for exits in (0.0, 1.0)
    ]
    assert shares[0] == 0
    assert 0.4 < shares[1] < 0.6  # of authors whose shares add up to 2


def test_the_corpus_has_right_wrong_and_lookup_authors() -> None:
    mix = CorpusMix()
    texts = [draw_text(Random(i), mix) for i in range(600)]
    lookups = [t for t in texts if "if x ==" in t.answer]
    lambdas = [t for t in texts if "lambda" in t.answer]
    assert 0.14 < len(lookups) / 600 < 0.28
    assert 0.2 < len(lambdas) / 600 < 0.42
    right = 0
    for text in texts:
        program = run_trusted(text.answer)
        try:
            exec(text.prompt, program)
            right += 1
        except (AssertionError, TypeError, IndexError, AttributeError, ValueError):
            pass
    assert 0.65 < right / 600 < 0.92
    for text in lookups:
        exec(text.prompt, run_trusted(text.answer))  # a look-up table passes what was shown


def test_a_spoiled_program_is_another_text() -> None:
    chain = draw_chain(Random(1), Kind.INT, 2, None)
    assert all(spoiled(Random(i), chain).body() != chain.body() for i in range(20))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"families": ("float",)}, "env.families"),
        ({"complexity": (0,)}, "env.complexity"),
        ({"horizon": (9,)}, "env.horizon"),
        ({"complexity": ()}, "at least one"),
    ],
)
def test_dials_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FunctionsEnvironment(**setting)


@pytest.mark.parametrize("family", list(Kind))
def test_every_program_that_is_drawn_is_among_all(family: Kind) -> None:
    rng = Random(5)
    for complexity in (1, 2):
        known = {chain.operations for chain in all_chains(family, complexity)}
        assert all(draw_chain(rng, family, complexity, None).operations in known for _ in range(50))
        assert all(len(operations) == complexity for operations in known)
