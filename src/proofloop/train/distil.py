"""Self-distillation from feedback: the policy that has read why an attempt failed teaches itself.

After SDPO (Hübotter et al. 2026, arXiv:2601.20802, "Reinforcement Learning via Self-Distillation"),
in its token-level policy-gradient form: for a rollout y at prompt x with feedback f,

    a_t = sg[ log pi(y_t | x, z, f, y_<t) - log pi(y_t | x, y_<t) ]

is the advantage of token t, where z is the attempt that f speaks of: y itself where it failed, the
group's first failed attempt where it passed.  Tokens that the informed policy would not repeat lose
probability, those that it would write more readily gain.  What differs from the paper: the teacher
reads the conversation that a retry would have had (attempt, feedback), not a prompt of its own; it
has today's weights, no moving average; only sampled tokens, not whole distributions; and the
group's advantage is mixed in, A_t = (1 - w) A + w a_t, as the paper advises for weak bases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from proofloop.core.feedback import feedback_text
from proofloop.core.rollout import Judged, Rollout, RolloutId
from proofloop.core.task import Message, Task
from proofloop.core.verdict import Scored
from proofloop.render.conversation import next_context
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.store import RecordedGroup
from proofloop.train.advantages import AdvantageRule, Credited, Credits, credit
from proofloop.train.crew import Crew
from proofloop.train.scoring import Question

MAX_ADVANTAGE = 5.0
"""Nats: one token that the teacher finds absurd is not to outweigh a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """How the policy teaches itself."""

    tokenizer: ChatTokenizer
    weight: float
    """Of its advantages; the group's have the rest."""
    temperature: float
    """Of sampling: teacher and student must speak of one distribution."""
    max_positions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lesson:
    rollout: Rollout
    question: Question | None
    """None: nothing to teach with; the group's advantage is all."""


def credit_of(
    groups: Sequence[RecordedGroup],
    rule: AdvantageRule,
    teacher: Teacher | None,
    crew: Crew,
    penalties: Mapping[RolloutId, float] = MappingProxyType({}),
) -> Credits:
    """The groups' advantages, and those of the self-teacher where there is one."""
    credits = credit([g.group for g in groups], rule, penalties)
    return credits if teacher is None else distilled(teacher, crew, groups, credits)


def distilled(
    teacher: Teacher, crew: Crew, groups: Sequence[RecordedGroup], credits: Credits
) -> Credits:
    """The same credits by token, with the groups that only the teacher can tell apart."""
    known = {c.rollout.id: c.advantage for group in credits.groups for c in group}
    lessons = [_lessons(teacher, recorded) for recorded in groups]
    questions = [x.question for group in lessons for x in group if x.question is not None]
    answers = iter(crew.score(questions, teacher.temperature))
    taught: list[tuple[Credited, ...]] = []
    for group in lessons:
        credited = tuple(
            _credited(
                lesson.rollout,
                known.get(lesson.rollout.id, 0.0),
                None if lesson.question is None else next(answers),
                teacher.weight,
            )
            for lesson in group
        )
        if any(any(c.token_advantages or ()) for c in credited):
            taught.append(credited)
    return Credits(
        groups=tuple(taught),
        num_all_equal_high=credits.num_all_equal_high,
        num_all_equal_low=credits.num_all_equal_low,
        num_too_few=credits.num_too_few,
        num_truncated=credits.num_truncated,
        num_taught_tokens=sum(len(q.tokens) for q in questions),
    )


def _lessons(teacher: Teacher, recorded: RecordedGroup) -> list[_Lesson]:
    """One of every scored rollout."""
    scored = [j for j in recorded.group.attempts if isinstance(j.verdict, Scored)]
    failed = next((j for j in scored if j.feedback is not None), None)
    return [_lesson(teacher, recorded.task, j, j if j.feedback else failed) for j in scored]


def _lesson(teacher: Teacher, task: Task, judged: Judged, failed: Judged | None) -> _Lesson:
    rollout = judged.rollout
    if failed is None or failed.feedback is None:
        return _Lesson(rollout=rollout, question=None)
    assert len(rollout.turns) == 1, "attempts that teach themselves have one turn"
    reply = Message(role="user", content=feedback_text(failed.feedback))
    (before,) = failed.rollout.turns
    given = next_context(teacher.tokenizer, task.messages, failed.rollout.turns, reply)
    context = (*before.context, *before.completion.tokens, *given)
    tokens = rollout.turns[0].completion.tokens
    fits = len(context) + len(tokens) <= teacher.max_positions
    question = Question(context=context, tokens=tokens) if fits else None
    return _Lesson(rollout=rollout, question=question)


def _credited(
    rollout: Rollout, advantage: float, taught: tuple[float, ...] | None, weight: float
) -> Credited:
    """Where the teacher said nothing its part is 0."""
    sampled = rollout.turns[0].completion.logprobs
    own_T = np.zeros(len(sampled)) if taught is None else np.subtract(taught, sampled)
    mixed_T = (1 - weight) * advantage + weight * own_T.clip(-MAX_ADVANTAGE, MAX_ADVANTAGE)
    return Credited(rollout=rollout, advantage=advantage, token_advantages=tuple(mixed_T.tolist()))
