"""From credited rollouts to samples, and samples into micro-batches that share their contexts.

A sample is what one rollout trains: its first context (shared by its group) and every token
after it, of which only the sampled ones train, each once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

from proofloop.core.rollout import Rollout, Turn
from proofloop.train.advantages import Credited


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Tokens after the context and, for each, whether and how it trains."""

    context: tuple[int, ...]
    tokens: tuple[int, ...]
    trained: tuple[bool, ...]
    sampler_logprobs: tuple[float, ...]
    """nats; 0 where not trained."""
    advantages: tuple[float, ...]
    """0 where not trained."""
    weight: float = 1.0
    """Of its tokens' losses in the batch's (`train.aggregation`)."""
    old_logprobs: tuple[float, ...] | None = None
    """nats; what the loss's ratio is against, where that is not the sampler."""
    reference_logprobs: tuple[float, ...] | None = None
    """nats, of the weights that the run started with, where the loss asks for them."""
    old_values: tuple[float, ...] | None = None
    """Of the value head at the start of the step, where there is one; 0 where not trained."""
    returns: tuple[float, ...] | None = None
    """What it is to learn; 0 where not trained."""

    def __post_init__(self) -> None:
        lengths = {
            len(part)
            for part in (self.tokens, self.trained, self.sampler_logprobs, self.advantages)
        }
        others = (self.old_logprobs, self.reference_logprobs, self.old_values, self.returns)
        lengths |= {len(part) for part in others if part is not None}
        if len(lengths) != 1 or not self.context or not any(self.trained):
            raise ValueError(
                f"a sample needs a context, a trained token and parts of one length; got lengths "
                f"{sorted(lengths)}, context {len(self.context)}, trained {sum(self.trained)}"
            )

    @property
    def num_trained_tokens(self) -> int:
        return sum(self.trained)


class Continuation(NamedTuple):
    """What stands after a rollout's first context, token by token."""

    tokens: list[int]
    sampled: list[bool]
    logprobs: list[float]
    """nats, of the sampler; 0 where not sampled."""


def continuation_of(rollout: Rollout) -> Continuation:
    """[context 1][completion 1][context 2][completion 2] -> all but context 1.  Of a rollout whose
    context never begins anew."""
    assert not any(turn.restarts for turn in rollout.turns), "one context"
    return continued(rollout.turns)


def continued(turns: Sequence[Turn]) -> Continuation:
    """The same of turns with one context."""
    tokens: list[int] = []
    sampled: list[bool] = []
    logprobs: list[float] = []
    for i, turn in enumerate(turns):
        given = turn.context if i else ()
        tokens += [*given, *turn.completion.tokens]
        sampled += [False] * len(given) + [True] * len(turn.completion.tokens)
        logprobs += [0.0] * len(given) + list(turn.completion.logprobs)
    return Continuation(tokens, sampled, logprobs)


def samples_of(credited: Credited) -> list[Sample]:
    """One a context of the rollout, so that every sampled token trains once, as the policy sampled
    it.  Completions train, stop tokens included: stopping is an action."""
    rollout: Rollout = credited.rollout
    own = iter(credited.token_advantages or repeat(credited.advantage))
    targets = credited.targets
    assert targets is None or len(rollout.contexts) == 1, "values of one context"
    samples: list[Sample] = []
    for turns in rollout.contexts:
        after = continued(turns)
        samples.append(
            Sample(
                context=turns[0].context,
                tokens=tuple(after.tokens),
                trained=tuple(after.sampled),
                sampler_logprobs=tuple(after.logprobs),
                advantages=_placed(own, after.sampled),
                old_values=None if targets is None else _placed(targets.values, after.sampled),
                returns=None if targets is None else _placed(targets.returns, after.sampled),
            )
        )
    return samples


def _placed(values: Iterable[float], sampled: list[bool]) -> tuple[float, ...]:
    """Numbers of the sampled tokens at their places, 0 at the others'."""
    own = iter(values)
    return tuple(next(own) if t else 0.0 for t in sampled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Samples with one context, of like length, so that padding stays small."""

    samples: tuple[Sample, ...]

    @property
    def context(self) -> tuple[int, ...]:
        return self.samples[0].context

    @property
    def longest(self) -> int:
        return max(len(s.tokens) for s in self.samples)

    @property
    def num_positions(self) -> int:
        """Positions that the network runs for this bundle, padding included."""
        return len(self.context) + len(self.samples) * self.longest

    @property
    def num_tokens(self) -> int:
        """Positions that it runs where there is no padding."""
        return len(self.context) + sum(len(s.tokens) for s in self.samples)


def bundles_of(samples: list[Sample], *, padded: bool = True) -> list[Bundle]:
    """One group's samples as one bundle or, where bundles are `padded`, as two (short, long) if
    that runs fewer positions although the context then runs twice; those of other contexts (where
    memory began anew) by themselves."""
    contexts = dict.fromkeys(s.context for s in samples)
    if len(contexts) > 1:
        parts = ([s for s in samples if s.context == context] for context in contexts)
        return [bundle for part in parts for bundle in bundles_of(part, padded=padded)]
    ordered = tuple(sorted(samples, key=lambda s: len(s.tokens)))
    if not padded:
        return [Bundle(samples=ordered)]
    options = [[Bundle(samples=ordered)]] + [
        [Bundle(samples=ordered[:i]), Bundle(samples=ordered[i:])] for i in range(1, len(ordered))
    ]
    return min(options, key=lambda bundles: sum(b.num_positions for b in bundles))


def micro_batches(
    bundles: list[Bundle], *, max_positions: int, padded: bool = True
) -> list[list[Bundle]]:
    """Bundles of like shape together, each micro-batch within `max_positions`, where they are
    `padded` with the padding, if one bundle allows it."""
    ordered = sorted(bundles, key=lambda b: (b.longest, len(b.samples), len(b.context)))
    positions = _padded_positions if padded else _tokens
    batches: list[list[Bundle]] = []
    for bundle in ordered:
        candidate = [*batches[-1], bundle] if batches else []
        if candidate and positions(candidate) <= max_positions:
            batches[-1] = candidate
        else:
            batches.append([bundle])
    return batches


def _padded_positions(bundles: list[Bundle]) -> int:
    context = max(len(b.context) for b in bundles)
    grid = max(len(b.samples) for b in bundles) * max(b.longest for b in bundles)
    return len(bundles) * (context + grid)


def _tokens(bundles: list[Bundle]) -> int:
    return sum(b.num_tokens for b in bundles)


def shares(bundles: list[Bundle], num_shares: int) -> list[list[Bundle]]:
    """Bundles dealt out to `num_shares` workers, about the same number of tokens each."""
    dealt: list[list[Bundle]] = [[] for _ in range(num_shares)]
    loads = [0] * num_shares
    for bundle in sorted(bundles, key=lambda b: -b.num_tokens):
        lightest = loads.index(min(loads))
        dealt[lightest].append(bundle)
        loads[lightest] += bundle.num_tokens
    return dealt
