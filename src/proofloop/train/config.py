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
    DPO = "dpo"
    """Learns which of two answers is preferred, as a policy (`train.loop_pairs`)."""
    REWARD_MODEL = "reward-model"
    """The same, as a score of answers."""
    COPY = "copy"
    """Nothing: the same weights are measured twice (`train.loop_copy`)."""

    @property
    def schedule(self) -> "Schedule":
        """Of the learning rate, if none is asked for."""
        return Schedule.CONSTANT if self in (Method.DPO, Method.REWARD_MODEL) else Schedule.SIGNAL


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


class LengthCorrection(StrEnum):
    """What is done about a reward model's liking for long answers, or short ones."""

    NONE = "none"
    OFFSET = "offset"
    """What length alone says of the pairs is held in the loss while scores are learned, so that
    they explain the rest (`train.pairs.length_offset`)."""
    REGRESS = "regress"
    """The slope of scores on length at equal correctness is taken off them afterwards
    (`measure.estimators.length_bias`)."""


class OptimiserKind(StrEnum):
    """How a gradient becomes a step (`train.optimiser`)."""

    ADAMW = "adamw"
    SGD = "sgd"
    """Plain: as long as the gradient is.  For experiments whose theory speaks of gradient flow."""


class Device(StrEnum):
    """Where the weights are that train (`runs.placement`)."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """What the trainer's matrix products are made in (`engine.models.arithmetic`); weights,
    gradients and the optimiser's moments are float32 in both."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"

    @property
    def max_gap(self) -> float:
        """Largest mean |trainer - sampler| log-probability of one policy, nats: what rounding may
        explain (`docs/alarms.md`)."""
        return 0.02 if self is Precision.FLOAT32 else 0.05


class Schedule(StrEnum):
    """How the learning rate goes on after the warm-up."""

    CONSTANT = "constant"
    SIGNAL = "signal"
    """In proportion to the gradient's share of signal (`train.optimiser`)."""


class TurnCredit(StrEnum):
    """How the turns of a rollout share its reward (`train.turn_credit`)."""

    ROLLOUT = "rollout"
    """All have the rollout's advantage."""
    DISCOUNTED = "discounted"
    SAME_STATE = "same_state"


class Order(StrEnum):
    """Which strata a curriculum may draw from (`train.curriculum`)."""

    FREE = "free"
    HORIZON_FIRST = "horizon_first"


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


class PreferenceConfig(Record):
    """The section `preference` of a recipe: pairs to learn from, by `dpo` and `reward-model`."""

    data: str | None = None
    """JSON Lines file of pairs: `prompt` (text) or `messages`, `chosen`, `rejected`."""
    run: str | None = None
    """Run directory whose training rollouts make pairs: of one task, one that passed and one that
    did not."""
    pairs_per_task: int = 4
    """Most pairs made of one task of that run."""
    heldout_share: float = 0.1
    """Prompts whose pairs are measured by and not learned from."""
    beta: float = 0.1
    """Of DPO: how much a change of log-probability counts; smaller lets the policy go further."""
    label_smoothing: float = 0.0
    """Probability that a pair is the wrong way round."""
    margin: float = 0.0
    """By how much the chosen answer is to be ahead."""
    length_normalised: bool = False
    """Of DPO: log-probabilities by token instead of by answer."""
    reference_free: bool = False
    """Of DPO: without the weights of the start; with `length_normalised` and a `margin`, SimPO."""
    length_correction: LengthCorrection = LengthCorrection.NONE
    """Of `reward-model`: against a bias by length; `offset` or `regress`."""


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
