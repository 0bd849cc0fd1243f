"""Recipes: what a run is asked to do, as strict records.

A recipe file (TOML) and `--set section.key=value` fill these in; an unknown key fails with its
path and a suggestion (`runs.config`).  The attribute strings are the reference of every key.
"""

from enum import StrEnum

import msgspec

from proofloop.core.record import Record
from proofloop.core.task import Stages
from proofloop.core.verdict import Tier
from proofloop.engine.models.config import TARGETS, Backend
from proofloop.runs.recipe_agent import AgentConfig
from proofloop.runs.recipe_train import CurriculumConfig, TrainConfig
from proofloop.train.advantages import AdvantageRule
from proofloop.train.config import (
    AlarmsConfig,
    FeedbackConfig,
    Method,
    PreferenceConfig,
    TripwireConfig,
)
from proofloop.train.objective import Objective, PairLoss, PairObjective


class Control(StrEnum):
    """Replacements of the reward that a real gain must beat."""

    NONE = "none"
    RANDOM = "random"
    """A fair coin a rollout, whatever the answer."""
    FORMAT = "format"
    """1 where the answer defines the functions asked for, right or wrong."""
    NAIVE = "naive"
    """1 where the program and the tests that its prompt shows, in one process, end with status 0:
    what much reward code does."""


class Init(StrEnum):
    """What a model's weights are at the start."""

    PRETRAINED = "pretrained"
    RANDOM = "random"


class SaveDtype(StrEnum):
    """Number formats of saved weights."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class ModelConfig(Record):
    path: str = "pico"
    """A checkpoint directory in Hugging Face format, a hub id (`org/name` or `org/name@revision`),
    or an embedded base model: `pico`,
    or `pico-minirepos`, which goes on from it by the recipe `pretrain-minirepos`."""
    backend: Backend = Backend.OWN
    """`own`: our network definition, for the architectures in docs/checkpoints.md. `transformers`:
    any other that Transformers has as a causal language model, slower."""
    adapter: str | None = None
    """Directory of a LoRA adapter (PEFT) of that model, merged into its weights; with `lora.rank`,
    trained on instead."""
    save_dtype: SaveDtype = SaveDtype.FLOAT32
    """Number format of the trained model's weights on disk; they train in float32."""
    init: Init = Init.PRETRAINED
    """`pretrained`: its weights. `random`: its network and tokenizer, with random weights."""
    init_seed: int = 0
    """Of random weights."""


class LoraRecipe(Record):
    rank: int = 0
    """Of the low-rank adapters that train in place of the weights; 0: the weights train."""
    alpha: float = 32.0
    """An adapter's update counts alpha / rank times."""
    targets: tuple[str, ...] = TARGETS
    """Linear layers that get adapters."""


class LanguageConfig(Record):
    """One entry of `env.languages`.  A command is a list of arguments, or a text that is split into
    one as a shell would, though no shell runs it."""

    file: str | None = None
    """Name of the source file. Required of a language that is not built in."""
    run: tuple[str, ...] | str | None = None
    """Command that runs the program; `{folder}` stands for the folder of the source file and of
    what was compiled from it. Required of a language that is not built in."""
    compile: tuple[str, ...] | str | None = None
    """Command that compiles it, run in that folder; none: the source is run as it stands."""
    title: str | None = None
    """What a prompt calls the language; none: its name."""
    fences: tuple[str, ...] | None = None
    """Tags of its fenced blocks in an answer; none: its name."""
    read: tuple[str, ...] | None = None
    """Files and folders, beside the system's, that compiler and program may read (`~` is your
    home), such as a compiler's own installation."""
    env: dict[str, str] | None = None
    """Environment variables that they get, `~` as above."""
    compile_s: int | None = None
    """Processor seconds that the compiler may take; none: 10."""
    num_processes: int | None = None
    """Processes and threads that a running program may have; none: 1."""
    memory_mb: int | None = None
    """Memory of a running program in MiB; none: the verifier's limit."""
    probe: str | None = None
    """A program that must compile and end with status 0, tried before anything is judged, so that a
    broken compiler is an error of one line and no wrong answer; none: not tried."""


class EnvConfig(Record):
    name: str = "functions"
    """`answers`, `exercism`, `files`, `functions`, `gsm8k`, `harbor`, `humaneval`, `math`,
    `mbpp`, `minirepos` or `stdio`."""
    data: str | None = None
    """The data file of an environment that reads one (all but `functions` and `minirepos`)."""
    leave_out: tuple[str, ...] = ()
    """Ids of tasks of the data file that no split is to have, such as those that `validate` names
    because what they hand out already earns 1."""
    families: tuple[str, ...] = ("int", "list", "string")
    """Type families of `functions` and `minirepos`."""
    complexity: tuple[int, ...] | int = (1, 2, 3)
    """Numbers of composed operations to draw tasks from."""
    horizon: tuple[int, ...] | int = (1,)
    """Numbers of functions to write in one answer, of modules of `minirepos` to repair."""
    pytest: bool = False
    """Whether hidden tests of `minirepos` are files that pytest runs in the repository, as in one
    that was mined; otherwise each call is made in the candidate's process and compared outside of
    it, which is stronger and a hundred times as fast."""
    language: str = "python"
    """Language of the programs that `stdio` and `files` ask for where a row names none: `bash`,
    `c`, `cpp`, `javascript`, `python`, or one of `env.languages`."""
    languages: dict[str, LanguageConfig] = msgspec.field(default_factory=dict[str, LanguageConfig])
    """More languages by name, or other commands for those built in: a table
    `[env.languages.NAME]` each, whose keys are listed below."""
    stages: Stages | None = None
    """Weights of the stages that a program of `stdio` reaches, for rows that have none of their
    own: `{compiles = 0.1, runs = 0.2, passes = 0.7}`; none: all for passing."""


class SamplingConfig(Record):
    max_tokens: int = 56
    """Longest completion, stop token included."""
    temperature: float = 1.0
    """Of the sampled and the trained distribution alike."""


class RewardKind(StrEnum):
    """What a verdict is worth in training; held-out tasks are always scored strictly."""

    STRICT = "strict"
    STAGED = "staged"


class RewardConfig(Record):
    kind: RewardKind = RewardKind.STRICT
    """`strict`: 1 where all tests pass. `staged`, for projects that are handed out broken
    (`harbor`, `minirepos` with `env.pytest`): how far an answer came, the share of the failing
    tests that now pass times the share of the passing ones that still do, and the two stages
    before it. Held-out tasks, shares solved and the curriculum stay strict."""
    compiles: float = 0.1
    """Of `staged`: what is earned where what was written compiles."""
    collects: float = 0.1
    """Of `staged`: what is earned besides where all tests load. The rest up to 1 is the tests'."""
    control: Control = Control.NONE
    """`none`: the verdict decides. `random`, `format`, `naive`: control arms."""
    model: str | None = None
    """A reward model (its run, or its directory) whose scores are rewarded in place of verdicts;
    these stay in the record, and held-out tasks are judged by them."""


class EngineKind(StrEnum):
    """What generates."""

    LOCAL = "local"
    SERVER = "server"
    VLLM = "vllm"


class EngineConfig(Record):
    kind: EngineKind = EngineKind.LOCAL
    """`local`; `vllm`, whose weights follow the trainer's: in this process, or a server
    (`engine.url`, `engine.python`); or for `eval` a `server` that speaks OpenAI's API and tells
    token ids (vLLM, `proofloop serve-model`). `model.path` then names the checkpoint that the
    server has loaded, whose tokenizer and template are used here."""
    url: str = ""
    """Of the server, up to and with `/v1`."""
    python: str = ""
    """Interpreter that has vLLM, in place of `engine.url`: the server is started with the run and
    ends with it. Neither of the two: vLLM in the run's own process, which then does all work
    itself (`train.workers` at most 1)."""
    options: tuple[str, ...] = ()
    """Further arguments of vLLM that starts with the run, as `vllm serve` takes them."""
    weights_dir: str = ""
    """Directory through which weights go to vLLM, which both sides see under this name; empty: the
    run directory's `sync`."""
    model: str = ""
    """What the server calls the model; empty: the first that it lists. A key that it asks for is
    read from the environment variable PROOFLOOP_API_KEY."""
    max_gap: float = 0.02
    """Largest mean |server - local| log-probability of a few sampled answers, nats, before the
    server is refused as one that has other weights; 0: not checked."""


class EvalConfig(Record):
    every: int = 20
    """Steps between evaluations during training; 0: none."""
    num_tasks: int = 96
    """Held-out tasks of an evaluation during training."""
    num_samples: int = 4
    """Rollouts of each of them."""
    final_num_tasks: int = 240
    """Held-out tasks of the evaluations before the first and after the last step."""
    final_num_samples: int = 128
    """Rollouts of each of them; pass@k is unbiased up to this k."""
    until_width: float | None = None
    """`proofloop eval` stops before all tasks are attempted once the 95% interval of pass@1 is at
    most this wide (0.1: ten points). The interval holds at every look (a confidence sequence); the
    tasks then come in a shuffled order. None: all tasks."""
    seed: int = 0
    """Of sampling in evaluations: the same chances at every step, so that they are paired."""
    later_seed: int | None = None
    """The same after step 0; none: `eval.seed`."""
    feedback: bool = False
    """Whether held-out attempts that fail get feedback and another turn, as `[feedback]` says,
    whatever its arm; an attempt then passes where its last turn does."""


class TrackerKind(StrEnum):
    """Tools that a run's numbers can go to, beside its own record (`runs.trackers`)."""

    NONE = "none"
    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"
    TRACKIO = "trackio"


class TrackerConfig(Record):
    kind: TrackerKind = TrackerKind.NONE
    """`none`, or where the numbers of every step go, too: `tensorboard` (RUN/tensorboard), `wandb`
    (offline unless WANDB_MODE says otherwise), `mlflow` (MLFLOW_TRACKING_URI, or RUN/mlflow.db) or
    `trackio`. A tracker that fails is left alone; a resumed run goes on in the same place."""
    project: str = "proofloop"
    name: str = ""
    """Of the run there; empty: the run directory's."""


class SandboxConfig(Record):
    tier: Tier | None = None
    """Isolation tier that the run needs; none: T1, or T0 where this machine
    refuses that."""


class ControlConfig(Record):
    of: str | None = None
    """Run directory that this run accompanies as a control, for the report; changes nothing of what
    is trained or measured."""


class Recipe(Record):
    """Everything that `proofloop train` can be told."""

    model: ModelConfig = ModelConfig()
    lora: LoraRecipe = LoraRecipe()
    env: EnvConfig = EnvConfig()
    sampling: SamplingConfig = SamplingConfig()
    reward: RewardConfig = RewardConfig()
    train: TrainConfig = TrainConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    eval: EvalConfig = EvalConfig()
    sandbox: SandboxConfig = SandboxConfig()
    tripwire: TripwireConfig = TripwireConfig()
    alarms: AlarmsConfig = AlarmsConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    preference: PreferenceConfig = PreferenceConfig()
    agent: AgentConfig = AgentConfig()
    control: ControlConfig = ControlConfig()
    tracker: TrackerConfig = TrackerConfig()
    engine: EngineConfig = EngineConfig()


def advantage_rule(recipe: Recipe) -> AdvantageRule:
    train = recipe.train
    return AdvantageRule(
        baseline=train.baseline,
        scale=train.advantage_scale,
        ties=train.ties,
        truncated=train.truncated,
        learn_from=train.learn_from,
    )


def objective_of(recipe: Recipe) -> Objective:
    """The keys of the section `train` by the same names and, where pairs are learned from, those
    of `preference`."""
    keys = [key for key in Objective.__struct_fields__ if key != "pairs"]
    own = {key: getattr(recipe.train, key) for key in keys}
    return Objective(**own, pairs=_pair_objective(recipe))


PAIR_LOSSES = {Method.DPO: PairLoss.DPO, Method.REWARD_MODEL: PairLoss.BRADLEY_TERRY}
"""By method."""


def _pair_objective(recipe: Recipe) -> PairObjective | None:
    if recipe.train.method not in PAIR_LOSSES:
        return None
    keys = [key for key in PairObjective.__struct_fields__ if key != "loss"]
    own = {key: getattr(recipe.preference, key) for key in keys}
    return PairObjective(loss=PAIR_LOSSES[recipe.train.method], **own)
