"""Closed choices of training that recipes name; loads no torch."""

from enum import StrEnum

from proofloop.core.record import Record


class Method(StrEnum):
    """What a step does, a loop each."""

    RL = "rl"
    """Samples, judges and learns from the rewards (`train.loop_sync`)."""
    SFT = "sft"
    """Learns right answers that another run sampled, by their likelihood (`train.loop_sft`)."""
    DISTIL = "distil"
    """Samples, judges and learns from a teacher's log-probabilities (`train.teaching`)."""
    COPY = "copy"
    """Nothing: the same weights are measured twice (`train.loop_copy`)."""


class Whose(StrEnum):
    """Weights that workers can be asked for log-probabilities under."""

    OWN = "own"
    """As they are."""
    START = "start"
    """Those that the run started with."""
    TEACHER = "teacher"


class Algorithm(StrEnum):
    """Presets of the section `train` (`train.algorithms`)."""

    REINFORCE = "reinforce"
    RLOO = "rloo"
    GRPO = "grpo"
    DR_GRPO = "dr_grpo"
    DAPO = "dapo"
    GSPO = "gspo"
    CISPO = "cispo"
    PROOFLOOP = "proofloop"
    RFT = "rft"
    PPO = "ppo"


class LossKind(StrEnum):
    """Losses of single tokens (`train.losses`)."""

    POLICY_GRADIENT = "policy_gradient"
    CISPO = "cispo"
    CLIP = "clip"
    GSPO = "gspo"
    LIKELIHOOD = "likelihood"


class Aggregation(StrEnum):
    """What the losses of tokens are averaged over (`train.aggregation`)."""

    TOKENS = "tokens"
    SEQUENCES = "sequences"
    PROMPTS = "prompts"
    CONSTANT = "constant"


class KlEstimator(StrEnum):
    """Estimates of a divergence from one sampled token (`train.kl`)."""

    K1 = "k1"
    K2 = "k2"
    K3 = "k3"


class KlIn(StrEnum):
    """Where the divergence from the starting weights is paid for."""

    LOSS = "loss"
    REWARD = "reward"


class Correction(StrEnum):
    """What is done about tokens that trainer and sampler rate differently (`train.corrections`)."""

    NONE = "none"
    TOKEN = "token"
    SEQUENCE = "sequence"
    ICEPOP = "icepop"


class Truncated(StrEnum):
    """What a rollout trains whose last turn ran into `sampling.max_tokens`."""

    REWARD = "reward"
    """As any other, with the reward that the verdict gave."""
    DROP = "drop"
    """Nothing: it is compared with others, and then left out of loss and denominator."""
    ZERO = "zero"
    """As any other, with reward 0."""


class Ties(StrEnum):
    """What becomes of groups whose rewards are all the same."""

    DROP = "drop"
    KEEP = "keep"
    """They count in the denominator, with advantages of 0."""


class LearnFrom(StrEnum):
    """Which rollouts of a group train, once all have been compared."""

    ALL = "all"
    REWARDED = "rewarded"
    """Those with a reward above 0."""


class Baseline(StrEnum):
    """What a reward is compared with (`train.advantages`)."""

    GROUP = "group"
    """The mean of its group."""
    LEAVE_ONE_OUT = "leave_one_out"
    """The mean of the others of its group."""
    VALUE = "value"
    """What a value head expects, token by token (`train.values`)."""
    NONE = "none"


class AdvantageScale(StrEnum):
    """What advantages are divided by (`train.advantages`)."""

    BATCH = "batch"
    """Their standard deviation over the batch."""
    GROUP = "group"
    """The standard deviation of their group's rewards."""
    MEAN = "mean"
    """The mean of their group's rewards."""
    NONE = "none"


class OptimiserKind(StrEnum):
    """How a gradient becomes a step (`train.optimiser`)."""

    ADAMW = "adamw"
    SGD = "sgd"
    """Plain: as long as the gradient is.  For experiments whose theory speaks of gradient flow."""


class Schedule(StrEnum):
    """How the learning rate goes on after the warm-up."""

    CONSTANT = "constant"
    SIGNAL = "signal"
    """In proportion to the gradient's share of signal (`train.optimiser`)."""


class FeedbackArm(StrEnum):
    """What a run learns from failure beside its reward."""

    NONE = "none"
    RETRY = "retry"
    """Another attempt in the same conversation, after feedback; the last one's reward counts."""
    DISTIL = "distil"
    """The policy that has read the feedback teaches itself, token by token (`train.distil`)."""


class FeedbackControl(StrEnum):
    """What stands in for the feedback, so that its content can be told from its presence."""

    NONE = "none"
    SHUFFLED = "shuffled"
    """That of another task."""
    MASKED = "masked"
    """Which tests pass, without any value that was wanted or given."""
    BARE = "bare"
    """That the attempt failed, and no more."""


class FeedbackConfig(Record):
    """The section `feedback` of a recipe."""

    arm: FeedbackArm = FeedbackArm.NONE
    """What is learned from failure: `none` (the reward alone), `retry` (another attempt after
    seeing what the shown tests say) or `distil` (the policy that has seen it teaches itself)."""
    control: FeedbackControl = FeedbackControl.NONE
    """In place of the feedback: `shuffled` (another task's), `masked` (no values) or `bare` (that
    it failed)."""
    attempts: int = 2
    """Most turns of a rollout of `retry`, the first one counted."""
    weight: float = 0.5
    """Of the self-teacher's advantages in `distil`; the group's have the rest."""
    any_template: bool = False
    """Whether to go on with a chat template that shows earlier turns otherwise than they were
    sampled (trims them, drops their think blocks); the sampled tokens are kept either way."""


class TripwireConfig(Record):
    """The section `tripwire` of a recipe."""

    share: float = 0.01
    """Impossible tasks added to the steps, per task that trains. They change nothing of what is
    learned: whatever passes one saw the key or forged the verdict."""
    decoys: bool = True
    """Plant wrong expected values in the processes of the programs that training runs. A result
    that holds one is the mark of a program that looks for answers."""


class AlarmsConfig(Record):
    """The section `alarms` of a recipe."""

    max_tripped: int = 0
    """Most rollouts of a run that match a decoy or pass an impossible task."""
    max_unscored: float = 0.05
    """Largest share of a step's rollouts without a verdict."""
    max_gap_rise: float = 0.1
    """Most that the visible–hidden gap may rise: its mean over the last five steps less that over
    the first five."""
    min_effective_share: float = 0.5
    """Least effective sample size of a step's importance weights, as a share of its tokens."""
    min_entropy_share: float = 0.1
    """Least that may be left of the entropy: its mean over the last five steps over that of the
    first five."""
    max_grad_norm_ratio: float = 10.0
    """Longest gradient, in medians of the last twenty."""
    max_without_variance: float = 0.9
    """Largest share of the last five steps' groups that may teach nothing."""
    max_truncated_rise: float = 0.2
    """Most that the share of truncated answers may rise, measured as the gap is."""
    stop: bool = False
    """Whether an alarm stops the run; otherwise it is shown and noted. `--resume` goes on."""
