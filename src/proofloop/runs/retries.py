"""What follows a failed attempt: what its author is told, and another try in the same conversation.

Of one worker's share of a step or of an evaluation.  Token-exact: the next context is what the
policy has seen and sampled, and after it the tokens of the feedback.  Not here: who may be told
what (`verify.feedback`), and what is learned from it (`train.distil`).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from proofloop.core.completion import Completion, Engine, Request
from proofloop.core.feedback import BARE, Feedback, feedback_text, masked
from proofloop.core.rollout import Failure, Group, Judged, RolloutId, Turn
from proofloop.core.task import Message, Problem
from proofloop.core.verdict import Scored, Unscored, Verdict
from proofloop.render.conversation import next_context
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.seeds import sample_seed
from proofloop.store import RecordedGroup
from proofloop.train.config import FeedbackControl
from proofloop.train.crew import Assignment, Attempted
from proofloop.verify import ProgramVerifier
from proofloop.verify.feedback import UNTOLD

CIRCLE = 8
"""Neighbouring tasks of a step among which shuffled feedback is dealt; one worker has them all, so
whose feedback is told does not depend on the number of workers."""

Judge = Callable[[Assignment, Problem, RolloutId, str], Verdict]


@dataclass(slots=True)
class _Attempt:
    """A rollout that may go on."""

    assignment: Assignment
    problem: Problem
    sample: int
    judged: Judged

    def failure(self) -> Scored | None:
        """The last turn's verdict where there is something to tell of it.  Who tripped a wire is
        told nothing, or the wire would be."""
        verdict = self.judged.verdict
        if not isinstance(verdict, Scored) or verdict.passed or verdict.cause in UNTOLD:
            return None
        return verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """The parts of a worker that further attempts need."""

    control: FeedbackControl
    seed: int
    tokenizer: ChatTokenizer
    engine: Engine
    verifier: ProgramVerifier
    judge: Judge
    max_positions: int

    def follow(
        self,
        assignments: Sequence[Assignment],
        problems: Sequence[Problem],
        groups: Sequence[RecordedGroup],
    ) -> Attempted:
        """The groups as they are in the end, and the seconds that it took.

        A failed attempt that has no room left in the model's positions for another stays as it is.
        """
        began = time.perf_counter()
        dealt = [
            [_Attempt(a, problem, sample, judged) for sample, judged in enumerate(g.group.attempts)]
            for a, problem, g in zip(assignments, problems, groups, strict=True)
        ]
        attempts = [attempt for group in dealt for attempt in group]
        sample_s = 0.0
        for turn in range(1, max((a.num_attempts for a in assignments), default=1)):
            open_ = [a for a in attempts if a.assignment.num_attempts > turn and a.failure()]
            sample_s += self._again(self._told(open_), turn)
        for attempt, feedback in self._told(
            [a for a in attempts if a.assignment.with_feedback and a.failure()]
        ):
            attempt.judged = msgspec.structs.replace(attempt.judged, feedback=feedback)
        ended = tuple(_regrouped(g, own) for g, own in zip(groups, dealt, strict=True))
        took = time.perf_counter() - began
        return Attempted(groups=ended, sample_s=sample_s, verify_s=took - sample_s)

    def _told(self, failed: list[_Attempt]) -> list[tuple[_Attempt, Feedback]]:
        """With what each is told under the control arm.  Where we failed to find out, the rollout
        is unscored: no fault of ours costs a policy its next attempt."""
        told: list[tuple[_Attempt, Feedback]] = []
        known: dict[tuple[int, str], Feedback | Unscored] = {}  # equal answers run once
        for attempt in failed:
            place = (attempt.assignment.slot, attempt.judged.rollout.answer)
            if place not in known:
                known[place] = self._asked(attempt)
            feedback = known[place]
            if isinstance(feedback, Unscored):
                attempt.judged = msgspec.structs.replace(attempt.judged, verdict=feedback)
            else:
                told.append((attempt, feedback))
        if self.control is not FeedbackControl.SHUFFLED:
            return told
        return [(attempt, _of_another_task(told, i)) for i, (attempt, _) in enumerate(told)]

    def _asked(self, attempt: _Attempt) -> Feedback | Unscored:
        if self.control is FeedbackControl.BARE:
            return BARE
        verdict = attempt.failure()
        assert verdict is not None, "asked of those that failed"
        task, key = attempt.problem.task, attempt.problem.key
        answer = attempt.judged.rollout.answer
        feedback = self.verifier.feedback(task, key, answer, verdict)
        if isinstance(feedback, Unscored) or self.control is not FeedbackControl.MASKED:
            return feedback
        return masked(feedback)

    def _again(self, told: list[tuple[_Attempt, Feedback]], turn: int) -> float:
        """One more turn for each that has room for it; gives the seconds of sampling."""
        began = time.perf_counter()
        open_: list[tuple[_Attempt, Feedback, tuple[int, ...]]] = []
        requests: list[Request] = []
        for attempt, feedback in told:
            request, given = self._request(attempt, feedback, turn)
            if len(request.context) + request.sampling.max_tokens <= self.max_positions:
                open_.append((attempt, feedback, given))
                requests.append(request)
        completions = self.engine.generate(requests) if requests else []
        took = time.perf_counter() - began
        for (attempt, feedback, given), (completion,) in zip(open_, completions, strict=True):
            self._take(attempt, feedback, Turn(context=given, completion=completion))
        return took

    def _request(
        self, attempt: _Attempt, feedback: Feedback, turn: int
    ) -> tuple[Request, tuple[int, ...]]:
        """The whole context, and of it what is new."""
        turns = attempt.judged.rollout.turns
        reply = Message(role="user", content=feedback_text(feedback))
        given = next_context(self.tokenizer, attempt.problem.task.messages, turns, reply)
        seen = tuple(t for past in turns for t in (*past.context, *past.completion.tokens))
        seed = sample_seed(self.seed, attempt.assignment, attempt.sample, turn)
        last: Completion = turns[-1].completion
        return Request(context=(*seen, *given), seeds=(seed,), sampling=last.sampling), given

    def _take(self, attempt: _Attempt, feedback: Feedback, turn: Turn) -> None:
        judged, verdict = attempt.judged, attempt.failure()
        assert verdict is not None, "asked of those that failed"
        answer = self.tokenizer.decode(turn.completion.tokens)
        rollout = msgspec.structs.replace(
            judged.rollout, turns=(*judged.rollout.turns, turn), answer=answer
        )
        attempt.judged = Judged(
            rollout=rollout,
            verdict=self.judge(attempt.assignment, attempt.problem, rollout.id, answer),
            failures=(*judged.failures, Failure(verdict=verdict, feedback=feedback)),
        )


def circle_of(assignment: Assignment) -> int:
    """Which of a step's circles a task is in."""
    return assignment.slot // CIRCLE


def _of_another_task(told: list[tuple[_Attempt, Feedback]], place: int) -> Feedback:
    """The next one's, in turn, that is of another task of the circle; BARE where there is none."""
    own = told[place][0]
    circle, task_id = circle_of(own.assignment), own.problem.task.id
    others = (*told[place + 1 :], *told[:place])
    return next(
        (
            feedback
            for other, feedback in others
            if circle_of(other.assignment) == circle and other.problem.task.id != task_id
        ),
        BARE,
    )


def _regrouped(recorded: RecordedGroup, attempts: list[_Attempt]) -> RecordedGroup:
    judged = tuple(attempt.judged for attempt in attempts)
    return RecordedGroup(
        slot=recorded.slot,
        task=recorded.task,
        group=Group(task_id=recorded.task.id, attempts=judged),
        tripwire=recorded.tripwire,
        verifier=recorded.verifier,
    )
