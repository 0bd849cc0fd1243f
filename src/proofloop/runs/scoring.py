"""What recorded attempts are worth to the base model: its log-probabilities of their tokens.

The numbers stay with the run (table `logprobs`, column `base_logprob` of the outcome table), so a
second comparison finds them.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from proofloop.core.errors import RunError, UserError
from proofloop.core.rollout import Rollout, RolloutId
from proofloop.engine.models.weights import flatten, sha256, shared
from proofloop.measure.attempts import base_of, trained_of
from proofloop.runs.config import load_run_config
from proofloop.runs.crews import Crew, open_crew
from proofloop.runs.models import resolve_model
from proofloop.runs.orders import CrewSetup
from proofloop.runs.placement import placed
from proofloop.runs.recipe import Recipe
from proofloop.runs.start import start_model
from proofloop.store import Phase, RunStore
from proofloop.train.samples import continued
from proofloop.train.scoring import Question

BASE = "base"
_PORTION = 1024
"""Rollouts between two reports; each is recorded when it is done."""


def score_under_base(base: Path, trained: Path, *, on_progress: Callable[[int, int], None]) -> None:
    """Records the base's log-probabilities of the last evaluation of `trained`.

    `on_progress(done, of)` counts rollouts.  Known ones are not computed again.
    Raises RunError for runs that cannot be read, UserError where the base's checkpoint is no longer
    the one that was measured, or the two do not share a tokenizer.
    """
    recipe = load_run_config(Recipe, base)
    subject = trained_of(trained)
    model_path = resolve_model(recipe.model.path)
    _check_tokenizers(recipe, load_run_config(Recipe, trained))
    torch.set_num_threads(1)
    model = placed(start_model(recipe.model), recipe)
    weights = shared(flatten(model))
    fingerprint = sha256(weights)
    _check_weights(base, fingerprint)
    with RunStore.open(trained) as store:
        known = store.logprobs(BASE)
        left = [
            judged.rollout
            for recorded in store.load_groups(Phase.EVAL, subject.step)
            for judged in recorded.group.attempts
            if judged.rollout.id not in known
        ]
        if not left:
            return
        setup = CrewSetup(recipe=recipe, model_path=model_path, weights=weights)
        with open_crew(setup, model) as crew:
            for start in range(0, len(left), _PORTION):
                portion = left[start : start + _PORTION]
                sums = _sums(crew, portion)
                store.record_logprobs(BASE, fingerprint, sums)
                on_progress(start + len(portion), len(left))


def _sums(crew: Crew, rollouts: list[Rollout]) -> dict[RolloutId, float]:
    """Over all contexts of a rollout, each token after what the policy saw."""
    parts = [(r.id, turns[0].context, continued(turns)) for r in rollouts for turns in r.contexts]
    questions = [Question(context=context, tokens=tuple(c.tokens)) for _, context, c in parts]
    sums = {rollout.id: 0.0 for rollout in rollouts}
    for (name, _, after), answer in zip(parts, crew.score(questions), strict=True):
        sums[name] += sum(v for v, sampled in zip(answer, after.sampled, strict=True) if sampled)
    return sums


def _check_weights(base: Path, fingerprint: str) -> None:
    measured = base_of(base).policy_sha256
    if measured != fingerprint:
        raise UserError(
            f"{base}: measured weights {measured[:12]}, but its model is now {fingerprint[:12]}: "
            "the checkpoint changed since; measure it again with `proofloop eval`"
        )


def _check_tokenizers(base: Recipe, trained: Recipe) -> None:
    """Raises RunError where tokens of one mean something else to the other."""
    ours, theirs = (
        (resolve_model(recipe.model.path) / "tokenizer.json").read_bytes()
        for recipe in (base, trained)
    )
    if ours != theirs:
        raise RunError(
            f"{base.model.path} and {trained.model.path} have different tokenizers: the base has "
            "no log-probability of the other's tokens"
        )
