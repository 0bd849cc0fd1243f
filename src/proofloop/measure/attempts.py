"""One evaluation, attempt by attempt: the outcome table in columns, and its settings.

Axes: T tasks, N attempts.  Attempts are sorted by task and sample; unscored ones are kept, since
their share is a figure too, and say nothing of an answer.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proofloop.core.errors import RunError
from proofloop.core.rollout import RolloutId
from proofloop.core.task import Stratum
from proofloop.measure.arms import arms_of, control_name, num_train_tasks
from proofloop.measure.estimators.bootstrap import Floats
from proofloop.measure.outcomes import Attempt, Ints, Outcomes
from proofloop.store import Phase, RunReader, RunStore

_COLUMNS = (
    *("rollout_id", "task_id", "family", "complexity", "horizon", "passed", "cause"),
    *("num_tokens", "truncated", "logprob", "base_logprob"),
    *("verifier", "max_tokens", "temperature", "policy_sha256"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Under what attempts were made and judged; two evaluations that differ here differ for
    reasons that are not the policy's."""

    verifiers: tuple[str, ...]
    """More than one where an environment asks for several kinds of answer."""
    max_tokens: int | None
    temperature: float | None

    @property
    def says(self) -> str:
        known = [
            " and ".join(filter(None, self.verifiers)) or None,
            f"at most {self.max_tokens} tokens" if self.max_tokens is not None else None,
            f"temperature {self.temperature:g}" if self.temperature is not None else None,
        ]
        return ", ".join(part for part in known if part) or "unknown settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Every attempt of one evaluation of one policy."""

    name: str
    """What people call this side: the run's directory, and the checkpoint."""
    run: Path
    step: int
    control: str
    """Which control arm the run is; `none`: it is none."""
    env: str
    policy_sha256: str
    """Of the weights that were measured."""
    setting: Setting
    rollout_ids: tuple[RolloutId, ...]
    task_ids: tuple[str, ...]
    """Of each attempt."""
    strata: tuple[Stratum, ...]
    scored_N: NDArray[np.bool_]
    passed_N: NDArray[np.bool_]
    """False also where unscored."""
    num_tokens_N: Ints
    truncated_N: NDArray[np.bool_]
    logprob_N: Floats
    """nats, under the policy that sampled."""
    base_logprob_N: Floats
    """nats, under the base model; NaN where nobody asked."""
    causes: tuple[str, ...]

    @property
    def outcomes(self) -> Outcomes:
        """Counts by task."""
        rows = zip(self.task_ids, self.strata, self.scored_N, self.passed_N, strict=True)
        return Outcomes.from_attempts(
            Attempt(task_id=task_id, stratum=stratum, passed=bool(passed) if scored else None)
            for task_id, stratum, scored, passed in rows
        )

    @property
    def truncated_share(self) -> float:
        return float(self.truncated_N.mean()) if len(self.truncated_N) else math.nan

    def of_tasks(self, task_ids: set[str]) -> "Attempts":
        """Only the attempts at these tasks."""
        return self.take(np.array([t in task_ids for t in self.task_ids], bool))

    def take(self, chosen_N: NDArray[np.bool_]) -> "Attempts":
        places = np.flatnonzero(chosen_N)
        return Attempts(
            name=self.name,
            run=self.run,
            step=self.step,
            control=self.control,
            env=self.env,
            policy_sha256=self.policy_sha256,
            setting=self.setting,
            rollout_ids=tuple(self.rollout_ids[i] for i in places),
            task_ids=tuple(self.task_ids[i] for i in places),
            strata=tuple(self.strata[i] for i in places),
            scored_N=self.scored_N[places],
            passed_N=self.passed_N[places],
            num_tokens_N=self.num_tokens_N[places],
            truncated_N=self.truncated_N[places],
            logprob_N=self.logprob_N[places],
            base_logprob_N=self.base_logprob_N[places],
            causes=tuple(self.causes[i] for i in places),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What was written, attempt by attempt, in the order of `Attempts`."""

    answers: tuple[str, ...]
    """As the verifier was handed them."""
    tokens: tuple[tuple[int, ...], ...]
    """All sampled tokens, stop tokens included."""


def texts_of(attempts: Attempts) -> Texts:
    """From the segments of the run.  Raises StoreDamaged."""
    found: dict[RolloutId, tuple[str, tuple[int, ...]]] = {}
    with RunStore.read(attempts.run) as store:
        for recorded in store.load_groups(Phase.EVAL, attempts.step):
            for judged in recorded.group.attempts:
                rollout = judged.rollout
                tokens = tuple(t for turn in rollout.turns for t in turn.completion.tokens)
                found[rollout.id] = (rollout.answer, tokens)
    return Texts(
        answers=tuple(found[i][0] for i in attempts.rollout_ids),
        tokens=tuple(found[i][1] for i in attempts.rollout_ids),
    )


def base_of(run: Path) -> Attempts:
    """The policy that a run began with: its evaluation at step 0.  Raises RunError."""
    with RunStore.read(run) as store:
        return _evaluated(store, 0)


def trained_of(run: Path) -> Attempts:
    """The policy that a run ended with; of `proofloop eval`, the one that it measured.

    Raises RunError where the run has not made its last evaluation."""
    with RunStore.read(run) as store:
        return _evaluated(store, _planned_steps(store.directory))


def _evaluated(store: RunReader, step: int) -> Attempts:
    state = store.evaluation(step)
    if state is None or state.ended is None:
        which = "of its last step" if step else "of the model that it began with"
        raise RunError(
            f"{store.directory}: has no finished evaluation {which} (step {step}); "
            f"go on with it (`proofloop {'train' if step else 'eval'} --resume`), or compare "
            "another"
        )
    rows = store.outcomes(Phase.EVAL, step, _COLUMNS)
    columns = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))
    config = _config(store.directory)
    return Attempts(
        name=f"{store.directory.resolve().name}, step {step}",
        run=store.directory,
        step=step,
        control=control_name(arms_of(config), num_train_tasks(config)),
        env=str(config.get("env", {}).get("name", "")),
        policy_sha256=columns["policy_sha256"][0],
        setting=_setting(store.directory, columns),
        rollout_ids=tuple(RolloutId(i) for i in columns["rollout_id"]),
        task_ids=columns["task_id"],
        strata=tuple(
            Stratum(family=f, complexity=c, horizon=h)
            for f, c, h in zip(
                columns["family"], columns["complexity"], columns["horizon"], strict=True
            )
        ),
        scored_N=np.array([p is not None for p in columns["passed"]]),
        passed_N=np.array([bool(p) for p in columns["passed"]]),
        num_tokens_N=np.array(columns["num_tokens"], np.int64),
        truncated_N=np.array(columns["truncated"], bool),
        logprob_N=np.array(columns["logprob"], np.float64),
        base_logprob_N=np.array(columns["base_logprob"], np.float64),
        causes=columns["cause"],
    )


def _setting(directory: Path, columns: Mapping[str, tuple[Any, ...]]) -> Setting:
    """Raises RunError where one evaluation was sampled in several ways."""
    verifiers = tuple(sorted({verifier or "" for verifier in columns["verifier"]}))
    sampled = set(zip(columns["max_tokens"], columns["temperature"], strict=True))
    found = [Setting(verifiers=verifiers, max_tokens=m, temperature=t) for m, t in sampled]
    if len(found) > 1:
        both = " and ".join(sorted(f"({setting.says})" for setting in found))
        raise RunError(f"{directory}: one evaluation, made under several settings: {both}")
    return found[0]


def _config(directory: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((directory / "config.toml").read_text())
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunError(f"{directory / 'config.toml'}: not readable as TOML ({error})") from error


def _planned_steps(directory: Path) -> int:
    return int(_config(directory).get("train", {}).get("num_steps", 0))
