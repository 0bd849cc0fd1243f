"""The sections `train` and `curriculum` of a recipe."""

from proofloop.core.record import Record
from proofloop.train.config import (
    AdvantageScale,
    Aggregation,
    Algorithm,
    Baseline,
    Correction,
    Device,
    KlEstimator,
    KlIn,
    LearnFrom,
    LossKind,
    Method,
    OptimiserKind,
    Order,
    Precision,
    Schedule,
    Ties,
    Truncated,
    TurnCredit,
)


class TrainConfig(Record):
    method: Method = Method.RL
    """`rl` (from rewards), `distil` (on its own answers, from `train.teacher`), `dpo` (from the
    pairs of `[preference]`), `reward-model` (a score, from the same); control arms: `sft` (on the
    successes of `train.sft_from`) and `copy` (no training)."""
    teacher: str | None = None
    """Checkpoint directory (or `pico`), of the same tokenizer, whose log-probabilities `distil`
    learns from, token by token."""
    sft_from: str | None = None
    """Run directory whose right answers `sft` learns, on as many tokens as that run trained on."""
    num_steps: int = 100
    """Optimiser steps."""
    seed: int = 0
    """Of sampling and of the draw of tasks."""
    num_tasks: int = 0
    """Draw from so many training tasks only, again and again; 0: no limit."""
    tasks_seed: int = 0
    """Which ones."""
    workers: int = 0
    """Processes of one thread each; 0: as many as there are cores. On a GPU there is one process,
    so more than 1 goes with a CPU only."""
    device: Device = Device.AUTO
    """Where the model trains and is sampled from: `cpu`, `cuda` (one GPU) or `auto`, the GPU where
    PyTorch sees one, `train.workers` does not ask for several processes, and the model has at least
    30 million parameters: smaller ones the CPU's kernels run as fast."""
    precision: Precision = Precision.FLOAT32
    """Of the trainer's matrix products: `float32` or `bfloat16`. Weights, gradients and moments,
    norms, softmax, head and log-probabilities are float32 in both. The local sampler follows; vLLM
    has its own `--dtype`."""
    activation_checkpointing: bool = False
    """Whether the backward pass runs layers again instead of keeping what they held: about a third
    more work, the same gradient, a fraction of the memory."""
    tasks_per_step: int = 128
    """Tasks (groups, or preference pairs) in a step."""
    samples_per_task: int = 8
    """Rollouts of each task: the size of a group."""
    learning_rate: float = 2e-4
    """AdamW's, at most."""
    algorithm: Algorithm | None = None
    """A preset of the keys below it: `reinforce`, `rloo`, `grpo`, `dr_grpo`, `dapo`, `gspo`,
    `cispo`, `proofloop` (what the defaults do), `rft` or `ppo`; keys that are set win. See
    `docs/algorithms.md`."""
    baseline: Baseline = Baseline.GROUP
    """What a reward is compared with: the mean of its `group`, that of the others in it
    (`leave_one_out`), what a `value` head expects at every token (PPO), or `none`."""
    advantage_scale: AdvantageScale = AdvantageScale.BATCH
    """What advantages are divided by: their standard deviation over the `batch`, that of their
    `group`'s rewards (GRPO), the `mean` of these, or `none`."""
    ties: Ties = Ties.DROP
    """What becomes of groups whose rewards are all the same: out of everything (`drop`), or in the
    denominator with advantages of 0 (`keep`)."""
    truncated: Truncated = Truncated.REWARD
    """What a rollout trains that ran into `sampling.max_tokens`: as any other, with the reward that
    it earned (`reward`) or with 0 (`zero`), or nothing (`drop`: out of loss and denominator, though
    others are still compared with it)."""
    learn_from: LearnFrom = LearnFrom.ALL
    """Which rollouts train once all have been compared: `all`, or only those `rewarded`."""
    turn_credit: TurnCredit = TurnCredit.ROLLOUT
    """Of rollouts of several turns: all turns have the `rollout`'s advantage; `discounted`, each
    its own, by how soon the reward followed (Kevin); or `same_state`, which adds to the rollout's
    how a turn compares with others of its group before which the policy had seen the same
    (GiGPO)."""
    turn_gamma: float = 0.9
    """Discount of a reward by turn, for these two."""
    turn_weight: float = 1.0
    """Of what `same_state` adds."""
    refill: int = 0
    """Most extra rounds of a step in which as many tasks are drawn anew as groups taught nothing,
    by their rewards alone."""
    loss: LossKind = LossKind.CISPO
    """Of a token: `cispo` (MiniMax-M1), `clip` (PPO, GRPO, DAPO), `gspo` (the same of whole
    answers), `policy_gradient` (no importance weight) or, for `sft` and `learn_from = "rewarded"`,
    `likelihood`."""
    cispo_cap: float = 5.0
    """Largest importance weight of `cispo`."""
    clip_low: float = 0.2
    """How far below 1 `clip` and `gspo` follow the ratio."""
    clip_high: float = 0.28
    """How far above 1."""
    dual_clip: float = 10.0
    """Most that a token with a negative advantage counts in `clip` and `gspo`, in advantages;
    0: no limit."""
    aggregation: Aggregation = Aggregation.TOKENS
    """What losses are averaged over: all `tokens` of an update (DAPO), its `sequences` by their
    means (GRPO), its `prompts` by the means of their tokens (ScaleRL), or a `constant`, the
    sequences times `sampling.max_tokens` (Dr. GRPO)."""
    kl_weight: float = 0.0
    """Of the divergence from the weights that the run started with; above 0, they are kept in
    memory."""
    kl_estimator: KlEstimator = KlEstimator.K2
    """`k1`, `k2` or `k3` (Schulman): `docs/algorithms.md` says which gradients they have."""
    kl_in: KlIn = KlIn.LOSS
    """Where it counts: in the `loss` of every token, or off the `reward` of a rollout."""
    correction: Correction = Correction.NONE
    """What is done about tokens that trainer and sampler rate differently: `none`, `token` weights,
    a `sequence` mask, or `icepop` (weights and a mask of tokens)."""
    correction_cap: float = 2.0
    """Largest weight of `token`."""
    sequence_low: float = 0.99
    """Least geometric mean of the ratios that `sequence` keeps."""
    sequence_high: float = 1.01
    """The largest."""
    icepop_low: float = 0.5
    """Least ratio of a token that `icepop` keeps."""
    icepop_high: float = 5.0
    """The largest."""
    gamma: float = 1.0
    """Discount of a reward by token, for `baseline = "value"`, as are the next five."""
    gae_lambda: float = 0.95
    """How far advantages look before they trust the value head: 0 to the next token, 1 to the
    reward."""
    value_weight: float = 0.5
    """Of the value head's loss beside the policy's, in what reaches the shared layers."""
    value_clip: float = 0.2
    """Most that a step may move a value before its loss is cut; 0: no limit."""
    value_learning_rate: float = 3e-3
    """AdamW's for the scalar head (a value head's, a reward model's)."""
    value_warmup_steps: int = 0
    """First updates in which the value head alone learns, and the policy stays."""
    optimiser: OptimiserKind = OptimiserKind.ADAMW
    """`adamw`, or `sgd` without momentum, whose steps are as long as the gradient."""
    schedule: Schedule | None = None
    """How the rate goes on after the warm-up: `constant`, or `signal`, which takes it down to the
    share of the gradient on which a batch's halves surely agree: chance moves nothing. None:
    `signal`, but `constant` where pairs are learned (`dpo`, `reward-model`), whose halves agree
    little though chance did not choose them."""
    warmup_steps: int = 5
    weight_decay: float = 0.0
    grad_clip: float = 1.0
    """Largest norm of the gradient."""
    updates_per_step: int = 1
    """Optimiser updates made from a step's rollouts."""
    micro_batch_tokens: int = 1024
    """Most positions (padding included) run at once; changes memory and speed, not the gradient.
    Small ones stay in a core's cache: 1024 took 0.63 of the time of 8192 here."""
    checkpoint_every: int = 10
    """Steps between checkpoints; the two newest are kept."""
    max_logprob_gap: float | None = None
    """Largest mean |trainer - sampler| log-probability, nats, before the run stops; none: 0.02, and
    with `train.precision = "bfloat16"` 0.05."""


class CurriculumConfig(Record):
    order: Order = Order.FREE
    """Which strata may be drawn from, of which those near half solved are drawn most: all (`free`)
    or, of each family, those up to the first that is not yet solved well enough, longer horizons
    before more complexity (`horizon_first`)."""
    advance_at: float = 0.5
    """Share of a stratum's recent rollouts that must be solved before `horizon_first` goes on."""
    max_pass_rate: float = 1.0
    """Tasks of which at least this share of all attempts so far was rewarded are not drawn again,
    as long as others are left; 1: they are. Where tasks repeat: data files, `train.num_tasks`."""
