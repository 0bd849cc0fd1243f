"""What a report is made of: plain data, whatever store it was read from.

Any part may be missing, since a report must be writable of a run that was interrupted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proofloop.measure.arms import Arm, control_name
from proofloop.measure.outcomes import Outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One number per recorded training step, in order of steps."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.steps) != len(self.values):
            raise ValueError(f"{len(self.steps)} steps came with {len(self.values)} values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One rollout to read."""

    rollout_id: str
    task_id: str
    phase: str
    step: int
    prompt: str
    answer: str
    cause: str
    passed: bool | None
    """None where the answer could not be judged."""
    reward: float | None
    detail: str
    tier: str
    turns: tuple[tuple[str, str, str], ...] = ()
    """Of an agent: a heading, what it said, and what it was told, each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tripped:
    """One submission that was kept aside because it tripped a wire."""

    rollout_id: str
    task_id: str
    step: int
    says: str
    """What it tripped over, in words."""
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """One run, as far as it got."""

    name: str
    env: str = ""
    arms: tuple[Arm, ...] = ()
    """Which control arms it is, if any."""
    num_train_tasks: int = 0
    """Tasks that training was limited to; 0: not limited."""
    beside: str = ""
    """The run that it accompanies as a control, as its recipe names it."""
    num_steps_planned: int | None = None
    """None where this is no training run, or its recipe is gone."""
    num_steps_done: int = 0
    metrics: Mapping[str, Series] = field(default_factory=dict[str, Series])
    base: Outcomes | None = None
    """Held-out evaluation before the first step."""
    stopped_early: str | None = None
    """What stopped that evaluation before all its tasks were attempted."""
    trained: Outcomes | None = None
    """Held-out evaluation after the last step; None until the run has made it."""
    causes: Mapping[str, Series] = field(default_factory=dict[str, Series])
    """Training rollouts by cause of their verdict: a count per step."""
    num_rollouts: int = 0
    """Training rollouts with any verdict."""
    num_unscored: int = 0
    """Of these, without a score."""
    num_tripwire_rollouts: int = 0
    """Rollouts at impossible tasks, which taught nothing."""
    tripped: tuple[Tripped, ...] = ()
    """Training rollouts that matched a decoy or passed an impossible task."""
    examples: tuple[Example, ...] = ()
    events: tuple[str, ...] = ()
    """What a person should know: resumed, a damaged checkpoint, an alarm."""
    config: str = ""
    """The resolved recipe, as TOML; a string, shown as it is."""
    manifest: str = ""
    """What ran, on what, as readable text."""

    @property
    def control(self) -> str:
        """Its arms by name; runs of one name differ at most in seeds, as far as this knows."""
        return control_name(self.arms, self.num_train_tasks)

    @property
    def second_label(self) -> str:
        """What the later of its two measurements is of."""
        return "base again" if Arm.COPY in self.arms else "trained"
