"""On-policy distillation: the student's own answers, judged token by token by a teacher.

For every token that the student sampled the advantage is

    a_t = sg[ log p_teacher(y_t | x, y_<t) - log p_student(y_t | x, y_<t) ]

so that the policy gradient is that of minus the reverse KL divergence of each next token, on states
that the student visits (Agarwal et al. 2024, GKD, arXiv:2306.13649, section 3, with lambda = 1 and
the reverse divergence; the sampled-token form is that of Lu and Thinking Machines Lab 2025,
"On-policy distillation").  No reward is learned from: verdicts are metrics.  Later tokens are not
charged to earlier ones (a discount of 0).
"""

from collections.abc import Sequence

import numpy as np

from proofloop.store import RecordedGroup
from proofloop.train.advantages import Credited, Credits
from proofloop.train.config import Whose
from proofloop.train.crew import Crew
from proofloop.train.samples import continuation_of
from proofloop.train.scoring import question_of


def taught(crew: Crew, groups: Sequence[RecordedGroup], temperature: float) -> Credits:
    """Every rollout with a token trains, scored or not; the sampler's log-probabilities stand for
    the student's.  `advantage` is the mean of a rollout's tokens."""
    rollouts = [[a.rollout for a in g.group.attempts] for g in groups]
    asked = [question_of(rollout) for group in rollouts for rollout in group]
    answers = iter(crew.score(asked, temperature, Whose.TEACHER))
    credited: list[tuple[Credited, ...]] = []
    for group in rollouts:
        of_group: list[Credited] = []
        for rollout in group:
            after = continuation_of(rollout)
            gaps = np.subtract(next(answers), after.logprobs)[np.array(after.sampled)]
            of_group.append(
                Credited(
                    rollout=rollout,
                    advantage=float(gaps.mean()),
                    token_advantages=tuple(gaps.tolist()),
                )
            )
        credited.append(tuple(of_group))
    values = [a for g in credited for c in g for a in c.token_advantages or ()]
    return Credits(
        groups=tuple(credited),
        num_all_equal_high=0,
        num_all_equal_low=0,
        num_too_few=0,
        num_taught_tokens=len(values),
        teacher_gap_mean=-float(np.mean(values)),
    )
