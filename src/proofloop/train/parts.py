"""What a training run is made of, and where it stands."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from proofloop.core.record import Record
from proofloop.core.task import Environment
from proofloop.store import RunStore
from proofloop.train.actor_critic import ActorCritic
from proofloop.train.advantages import AdvantageRule
from proofloop.train.config import AlarmsConfig, FeedbackConfig
from proofloop.train.crew import Crew
from proofloop.train.curriculum import CurriculumState, DrawRule, TaskPool
from proofloop.train.distil import Teacher
from proofloop.train.objective import Objective
from proofloop.train.optimiser import Optimiser
from proofloop.train.turn_credit import TurnRule
from proofloop.train.values import GaeRule


class LoopConfig(Record):
    """What the loop needs of a recipe's sections `train` and `eval`."""

    num_steps: int
    seed: int
    tasks_per_step: int
    samples_per_task: int
    updates_per_step: int
    checkpoint_every: int
    max_logprob_gap: float
    eval_every: int
    eval_num_tasks: int
    eval_num_samples: int
    final_num_tasks: int
    final_num_samples: int
    advantages: AdvantageRule = AdvantageRule()
    tripwire_share: float = 0.0
    alarms: AlarmsConfig = AlarmsConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    eval_attempts: int = 1
    eval_seed: int = 0
    eval_later_seed: int | None = None
    objective: Objective = Objective()
    temperature: float = 1.0
    max_tokens: int = 56
    refill: int = 0
    has_teacher: bool = False
    """Whether another model's log-probabilities are learned from, in place of rewards."""
    max_pass_rate: float = 1.0
    draw: DrawRule = DrawRule()
    turns: TurnRule = TurnRule()
    gae: GaeRule = GaeRule()
    """Where a value head is what rewards are compared with."""


class LoopState(Record):
    """Where the loop stands after a step; with the optimiser's state, all that a resume needs."""

    step: int
    curriculum: CurriculumState


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a run is made of, built by `runs.training`."""

    config: LoopConfig
    environment: Environment
    crew: Crew
    optimiser: Optimiser | ActorCritic
    weights_sha256: Callable[[], str]
    store: RunStore
    directory: Path
    teacher: Teacher | None = None
    """Where the policy is to teach itself."""
    only: TaskPool | None = None
    """Where training is limited to a few tasks."""
