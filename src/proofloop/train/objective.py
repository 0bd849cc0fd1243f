"""What is descended: the choices that make a batch's loss, as one record; loads no torch.

sum over trained tokens of weight x loss / denominator: `losses` says what a token's loss is,
`aggregation` what weights and denominator are, `corrections` and `kl` what joins them.
"""

from enum import StrEnum

from proofloop.core.record import Record
from proofloop.train.config import Aggregation, Baseline, Correction, KlEstimator, KlIn, LossKind


class PairLoss(StrEnum):
    """What a pair's margin is made of."""

    DPO = "dpo"
    """Log-probabilities of the policy, over those of the start: an implicit reward."""
    BRADLEY_TERRY = "bradley-terry"
    """What a scalar head says of the whole answer: a reward model."""


class PairObjective(Record):
    """The recipe's section `preference` says what each means."""

    loss: PairLoss
    beta: float = 0.1
    label_smoothing: float = 0.0
    margin: float = 0.0
    length_normalised: bool = False
    reference_free: bool = False


class Objective(Record):
    """The recipe's section `train` says what each means."""

    loss: LossKind = LossKind.CISPO
    cispo_cap: float = 5.0
    clip_low: float = 0.2
    clip_high: float = 0.28
    dual_clip: float = 10.0
    aggregation: Aggregation = Aggregation.TOKENS
    kl_weight: float = 0.0
    kl_estimator: KlEstimator = KlEstimator.K2
    kl_in: KlIn = KlIn.LOSS
    correction: Correction = Correction.NONE
    correction_cap: float = 2.0
    sequence_low: float = 0.99
    sequence_high: float = 1.01
    icepop_low: float = 0.5
    icepop_high: float = 5.0
    baseline: Baseline = Baseline.GROUP
    value_weight: float = 0.5
    value_clip: float = 0.2
    pairs: PairObjective | None = None
    """Where preference pairs are learned from, and none of the above counts."""

    @property
    def has_values(self) -> bool:
        """Whether a value head learns beside the policy."""
        return self.baseline is Baseline.VALUE

    @property
    def kl_in_loss(self) -> bool:
        return self.kl_weight > 0 and self.kl_in is KlIn.LOSS

    @property
    def kl_in_reward(self) -> bool:
        return self.kl_weight > 0 and self.kl_in is KlIn.REWARD
