"""What a trained reward model makes of length, measured on pairs that it did not learn from, and
what is done about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from torch import Tensor

from proofloop.core import codec
from proofloop.core.record import Record
from proofloop.engine.models.decoder import Decoder
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.length_bias import (
    LengthSlope,
    PairAccuracy,
    ScoredAnswers,
    length_slope,
    pair_accuracy,
    without_length,
)
from proofloop.runs.models import resolve_model
from proofloop.runs.recipe import Recipe
from proofloop.runs.reward_models import RewardSettings, save_reward_model
from proofloop.store.files import write_atomic
from proofloop.train.config import LengthCorrection
from proofloop.train.loop_pairs import PairLessons, scores_of
from proofloop.train.pairs import Pair
from proofloop.train.parts import Parts

FILE_NAME = "length_bias.json"


class Bias(Record):
    """Of scores, on held-out pairs."""

    slope: LengthSlope | None
    """Among equally right answers; None where lengths or scores have no spread."""
    pairs: PairAccuracy


class LengthReport(Record):
    """`length_bias.json` of a run."""

    length_correction: LengthCorrection
    offset_slope: float
    """Log odds a hundred tokens that were held in the loss (`offset`); 0: none."""
    slope_removed: float
    """Score a hundred tokens that was taken off after (`regress`); 0: none."""
    num_pairs: int
    raw: Bias
    corrected: Bias | None
    """Where something was taken off."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """Pairs with the scores of their answers."""

    pairs: Sequence[Pair]
    scores: Sequence[tuple[float, float]]

    def answers(self) -> ScoredAnswers:
        """Each once: an answer may be in several pairs of its task."""
        found = {
            (pair.task_id, right, answer.tokens): (answer.length, score)
            for pair, scores in zip(self.pairs, self.scores, strict=True)
            for right, answer, score in zip((True, False), pair.answers, scores, strict=True)
        }
        return ScoredAnswers.of(
            [task_id for task_id, _, _ in found],
            [right for _, right, _ in found],
            [length for length, _ in found.values()],
            [score for _, score in found.values()],
        )

    def without(self, slope: float) -> "_Scored":
        lengths = [[a.length for a in pair.answers] for pair in self.pairs]
        corrected = without_length(self.scores, lengths, slope)
        return _Scored(self.pairs, [(float(a), float(b)) for a, b in corrected])

    def bias(self) -> Bias:
        margins = [chosen - rejected for chosen, rejected in self.scores]
        return Bias(
            slope=slope_of(self.answers()),
            pairs=pair_accuracy(
                [pair.task_id for pair in self.pairs],
                margins,
                [pair.chosen.length for pair in self.pairs],
                [pair.rejected.length for pair in self.pairs],
            ),
        )


def slope_of(answers: ScoredAnswers) -> LengthSlope | None:
    """Within tasks where they have several answers that are equally right, else across them."""
    within = length_slope(answers, within_tasks=True)
    return length_slope(answers, within_tasks=False) if within is None else within


def measure_bias(
    parts: Parts, lessons: PairLessons, correction: LengthCorrection
) -> tuple[RewardSettings, LengthReport]:
    """What the slope of `regress` is fitted to trains; what is reported is held out."""
    train = _Scored(lessons.pairs, scores_of(parts, lessons.pairs))
    kept = _Scored(lessons.heldout, scores_of(parts, lessons.heldout))
    removed = 0.0
    if correction is LengthCorrection.REGRESS:
        fitted = slope_of(train.answers())
        removed = fitted.slope.value if fitted is not None else 0.0
    settings = RewardSettings(
        length_correction=correction,
        length_slope=removed,
        center=float(np.mean(train.without(removed).scores)),
    )
    return settings, LengthReport(
        length_correction=correction,
        offset_slope=lessons.length_slope,
        slope_removed=removed,
        num_pairs=len(kept.pairs),
        raw=kept.bias(),
        corrected=kept.without(removed).bias() if removed else None,
    )


def says(report: LengthReport) -> list[str]:
    """Lines for a person."""
    lines = [f"length bias on {report.num_pairs} held-out pairs: {_bias_says(report.raw)}"]
    if report.offset_slope:
        lines[0] += f" (length held in the loss: {report.offset_slope:+.2f} log odds / 100 tokens)"
    if report.corrected is not None:
        lines.append(
            f"with {report.slope_removed:+.3f} / 100 tokens taken off: "
            f"{_bias_says(report.corrected)}"
        )
    return lines


def _bias_says(bias: Bias) -> str:
    slope = bias.slope
    if slope is None:
        of_length = "no slope (no spread of lengths, or of scores)"
    else:
        where = "within tasks" if slope.within_tasks else "across tasks"
        of_length = (
            f"score {_interval(slope.slope, '+.3f')} / 100 tokens at equal correctness {where}, "
            f"r {_interval(slope.correlation, '+.2f')}"
        )
    pairs = bias.pairs
    kinds = (
        ("right one preferred", pairs.all),
        ("of like length", pairs.matched),
        ("where it is longer", pairs.longer),
        ("shorter", pairs.shorter),
    )
    return "; ".join([of_length, *(f"{name} {_interval(x, '.0%')}" for name, x in kinds)])


def _interval(found: Interval | None, form: str) -> str:
    if found is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.value:{form}}"
    return f"{found.value:{form}} [{found.low:{form}}, {found.high:{form}}]"


def finish_reward_model(
    recipe: Recipe,
    parts: Parts,
    pairs: PairLessons,
    model: Decoder,
    head: Tensor,
    stop_ids: tuple[int, ...],
    directory: Path,
) -> None:
    """What the model makes of length goes into the run's record and, with what is done about it,
    the model into `directory`."""
    settings, report = measure_bias(parts, pairs, recipe.preference.length_correction)
    text = msgspec.json.format(codec.to_json(report), indent=2) + b"\n"
    write_atomic(parts.store.directory / FILE_NAME, text)
    for line in says(report):
        parts.store.event_once("length_bias", line)
    save_reward_model(
        model,
        head,
        settings,
        directory,
        tokenizer_from=resolve_model(recipe.model.path),
        stop_ids=stop_ids,
    )
