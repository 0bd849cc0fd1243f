"""What a self-teacher adds to credits, by hand; and the log-probabilities that it is asked for."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from rollouts import completion, rollout, verdict
from torch import Tensor

import proofloop
from proofloop.core.completion import PolicyVersion, Request, SamplingParams
from proofloop.core.feedback import BARE
from proofloop.core.rollout import Group, Judged, Turn
from proofloop.core.task import Message, Split, Stratum, Task, TaskId
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.store import RecordedGroup
from proofloop.train.advantages import AdvantageRule, Credited, credit
from proofloop.train.config import Whose
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.distil import MAX_ADVANTAGE, Teacher, credit_of
from proofloop.train.samples import Bundle, samples_of
from proofloop.train.scoring import Question, logprobs_of
from proofloop.train.trainer import GradientStats

PICO = Path(proofloop.__file__).parent / "models" / "pico"
TASK = Task(
    id=TaskId("task"),
    env="functions",
    split=Split.TRAIN,
    stratum=Stratum(family="int", complexity=1, horizon=1),
    messages=(Message(role="user", content="# write f\n"),),
)


class Crew:
    """Answers every question with the same log-probability a token, and remembers it."""

    def __init__(self, logprob: float) -> None:
        self.asked: list[Question] = []
        self._logprob = logprob

    def score(
        self, questions: Sequence[Question], temperature: float, whose: Whose = Whose.OWN
    ) -> list[tuple[float, ...]]:
        assert temperature == 1.0
        self.asked += questions
        return [(self._logprob,) * len(q.tokens) for q in questions]

    def attempt(self, assignments: Sequence[Assignment]) -> Attempted:
        raise AssertionError(assignments)

    def gradient(self, bundles: list[Bundle], denominator: int) -> tuple[Tensor, GradientStats]:
        raise AssertionError(bundles, denominator)

    def publish(self, step: int) -> list[PolicyVersion]:
        raise AssertionError(step)


@pytest.fixture(scope="module")
def pico() -> ChatTokenizer:
    return ChatTokenizer.load(PICO)


def teacher(tokenizer: ChatTokenizer, *, weight: float = 0.5, room: int = 1024) -> Teacher:
    return Teacher(tokenizer=tokenizer, weight=weight, temperature=1.0, max_positions=room)


def recorded(rewards: list[float | None]) -> RecordedGroup:
    """Attempt i says the tokens (10 + i, stop) with log-probability -1 each; failed ones have
    feedback."""
    attempts = tuple(
        Judged(
            rollout=rollout(
                f"task-{i}", (Turn(context=(1, 2), completion=completion((10 + i, 0))),)
            ),
            verdict=verdict(reward),
            feedback=BARE if reward == 0 else None,
        )
        for i, reward in enumerate(rewards)
    )
    group = Group(task_id=TASK.id, attempts=attempts)
    return RecordedGroup(slot=0, task=TASK, group=group)


def tokens_of(
    pico: ChatTokenizer, rewards: list[float | None], *, teacher_says: float, weight: float
) -> list[tuple[float, ...] | None]:
    found = credit_of(
        [recorded(rewards)], AdvantageRule(), teacher(pico, weight=weight), Crew(teacher_says)
    )
    return [c.token_advantages for group in found.groups for c in group]


def test_group_and_teacher_are_mixed_by_weight(pico: ChatTokenizer) -> None:
    # Advantages +1 and -1 after the batch's scale; the teacher says -1.5 where the sampler had -1.
    for weight, expected in ((0.5, [0.25, -0.75]), (0.0, [1.0, -1.0]), (1.0, [-0.5, -0.5])):
        found = tokens_of(pico, [1.0, 0.0], teacher_says=-1.5, weight=weight)
        assert found == [pytest.approx((a, a)) for a in expected]


def test_a_group_that_failed_whole_teaches_and_one_that_passed_whole_does_not(
    pico: ChatTokenizer,
) -> None:
    assert tokens_of(pico, [0.0, 0.0], teacher_says=-3.0, weight=0.5) == [(-1.0, -1.0)] * 2
    assert tokens_of(pico, [1.0, 1.0], teacher_says=-3.0, weight=0.5) == []
    assert tokens_of(pico, [0.0, 0.0], teacher_says=-1.0, weight=0.5) == [], "nothing to tell"


def test_an_absurd_token_is_bounded(pico: ChatTokenizer) -> None:
    (own, _) = tokens_of(pico, [0.0, 0.0], teacher_says=-90.0, weight=1.0)
    assert own == (-MAX_ADVANTAGE, -MAX_ADVANTAGE)


def test_who_passed_is_asked_about_after_a_siblings_failure(pico: ChatTokenizer) -> None:
    crew = Crew(-1.0)
    found = credit_of([recorded([1.0, None, 0.0, 0.0])], AdvantageRule(), teacher(pico), crew)
    first, second, third = crew.asked
    given = pico.next_turn(
        TASK.messages, Message(role="user", content="# try again\n"), stopped=True
    )
    assert first == Question(context=(1, 2, 12, 0, *given), tokens=(10, 0))
    assert second == Question(context=(1, 2, 12, 0, *given), tokens=(12, 0))
    assert third == Question(context=(1, 2, 13, 0, *given), tokens=(13, 0))
    assert found.num_taught_tokens == 6
    assert [c.rollout.id for c in found.groups[0]] == ["task-0", "task-2", "task-3"], "no unscored"


def test_where_there_is_no_room_the_group_decides(pico: ChatTokenizer) -> None:
    crew = Crew(-9.0)
    found = credit_of([recorded([1.0, 0.0])], AdvantageRule(), teacher(pico, room=8), crew)
    assert crew.asked == []
    assert [c.token_advantages for c in found.groups[0]] == [(0.5, 0.5), (-0.5, -0.5)]


def test_without_a_teacher_credits_are_the_groups(pico: ChatTokenizer) -> None:
    group = recorded([1.0, 0.0])
    assert credit_of([group], AdvantageRule(), None, Crew(-9.0)) == credit([group.group])


def test_token_advantages_train_the_sampled_tokens_in_order() -> None:
    turns = (
        Turn(context=(1, 2), completion=completion((3, 0))),
        Turn(context=(7, 8), completion=completion((4, 0))),
    )
    by_token = Credited(
        rollout=rollout("r", turns), advantage=9.0, token_advantages=(0.1, 0.2, 0.3, 0.4)
    )
    (sample,) = samples_of(by_token)
    assert sample.tokens == (3, 0, 7, 8, 4, 0)
    assert sample.advantages == (0.1, 0.2, 0.0, 0.0, 0.3, 0.4)
    assert sample.trained == (True, True, False, False, True, True)
    (one,) = samples_of(Credited(rollout=rollout("r", turns), advantage=9.0))
    assert one.advantages == (9.0, 9.0, 0.0, 0.0, 9.0, 9.0)


# --- scoring ---


def test_scores_are_what_the_sampler_said(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    engine = LocalEngine(model, flatten(model), ChatTokenizer.load(tiny_model).stop_ids)
    sampling = SamplingParams(max_tokens=12, temperature=0.7)
    contexts = [(5, 6, 7), (9,), tuple(range(20, 60)), (5, 6, 7)]
    requests = [
        Request(context=c, seeds=(i, i + 9), sampling=sampling) for i, c in enumerate(contexts)
    ]
    done = [
        (r.context, c)
        for r, cs in zip(requests, engine.generate(requests), strict=True)
        for c in cs
    ]
    questions = [Question(context=context, tokens=c.tokens) for context, c in done]
    for most in (16, 100_000):
        found = logprobs_of(model, questions, max_positions=most, temperature=0.7)
        assert [len(f) for f in found] == [len(q.tokens) for q in questions]
        for mine, (_, c) in zip(found, done, strict=True):
            assert mine == pytest.approx(c.logprobs, abs=1e-4)
    assert logprobs_of(model, [], max_positions=16) == []


def test_scores_are_the_models_own_at_temperature_1(tiny_model: Path) -> None:
    model = load_model(tiny_model)
    context, tokens = (3, 1, 4, 1, 5), (9, 2, 6)
    (found,) = logprobs_of(model, [Question(context=context, tokens=tokens)], max_positions=64)
    with torch.inference_mode():  # one plain forward pass over all of it
        whole = torch.tensor([(*context, *tokens)])
        hidden, _ = model.encode_context(whole, torch.tensor([whole.shape[1]]))
        logprobs = model.logits(hidden[0]).log_softmax(-1)
    expected = [float(logprobs[len(context) - 1 + i, t]) for i, t in enumerate(tokens)]
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("context", "tokens"), [((), (1,)), ((1,), ()), ((1,) * 510, (1, 1, 1))])
def test_what_cannot_be_scored_is_refused(
    context: tuple[int, ...], tokens: tuple[int, ...], tiny_model: Path
) -> None:
    with pytest.raises(ValueError, match=r"needs a context|positions, the model has 512"):
        logprobs_of(
            load_model(tiny_model), [Question(context=context, tokens=tokens)], max_positions=64
        )
