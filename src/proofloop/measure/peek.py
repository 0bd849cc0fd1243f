"""One rollout, token by token: what was sampled, what trains, and with what weight.

Pure: whoever calls brings the stored rollout, the tokenizer and, where known, the advantage and
the trainer's log-probabilities.  Built before anything is tuned: a wrong mask is seen at a glance.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from rich.console import Group
from rich.table import Table
from rich.text import Text

from proofloop.core.feedback import feedback_text
from proofloop.core.record import Record
from proofloop.core.trajectory import Trajectory
from proofloop.core.tripwire import Wire, tripped_wire
from proofloop.measure.text import WIRE_SAYS, one_token, printable
from proofloop.store import RecordedRollout, TrippedRow


class Role(StrEnum):
    """Where a token came from."""

    CONTEXT = "context"
    SAMPLED = "sampled"


class TokenRow(Record):
    """One token of a rollout; log-probabilities and entropies in nats, None for context."""

    position: int
    token: int
    text: str
    role: Role
    trained: bool
    sampler_logprob: float | None = None
    trainer_logprob: float | None = None
    """Under the trainer's weights; None where nobody computed it."""
    entropy: float | None = None
    advantage: float | None = None
    """None where the token does not train."""
    turn: int = 0
    """From 0."""

    @property
    def gap(self) -> float | None:
        """|trainer - sampler| log-probability."""
        if self.sampler_logprob is None or self.trainer_logprob is None:
            return None
        return abs(self.trainer_logprob - self.sampler_logprob)


class TurnEnd(Record):
    """What came of a turn that another one followed, and what the policy was told of it."""

    verdict: str
    detail: str
    feedback: str


class Peek(Record):
    """A rollout's tokens and what became of it; `--json` prints this."""

    rollout_id: str
    task_id: str
    step: int
    verdict: str
    reward: float | None
    detail: str
    advantage: float | None
    """None where the rollout did not train (held-out, unscored, a group without variance, an
    impossible task)."""
    tokens: tuple[TokenRow, ...]
    tripwire: bool = False
    """Whether the task was impossible: none of its rollouts trains."""
    wire: Wire | None = None
    """What the rollout tripped over."""
    num_turns: int = 1
    turns: tuple[TurnEnd, ...] = ()
    """Those before the last that failed and were answered with feedback."""
    note: str = ""
    """What the figures leave out."""
    trajectory: Trajectory | None = None
    """Of an agent's rollout."""

    @property
    def num_trained(self) -> int:
        return sum(row.trained for row in self.tokens)

    @property
    def max_gap(self) -> float | None:
        return max((row.gap for row in self.tokens if row.gap is not None), default=None)


def peek_of(
    recorded: RecordedRollout,
    decode: Callable[[int], str],
    *,
    advantage: float | None,
    trainer_logprobs: Sequence[float] | None = None,
    note: str = "",
) -> Peek:
    """A stored rollout's tokens in the order the policy saw them.

    `advantage` is None where the rollout does not train: then no token does, otherwise every
    sampled token does.  `trainer_logprobs` has one entry per sampled token, of all turns joined.
    Raises ValueError where their number differs.
    """
    rollout, row = recorded.judged.rollout, recorded.row
    num_sampled = rollout.num_sampled_tokens
    if trainer_logprobs is not None and len(trainer_logprobs) != num_sampled:
        raise ValueError(f"{len(trainer_logprobs)} log-probabilities for {num_sampled} tokens")
    trainer = iter([None] * num_sampled if trainer_logprobs is None else trainer_logprobs)
    rows: list[TokenRow] = []
    for number, turn in enumerate(rollout.turns):
        for token in turn.context:
            rows.append(
                TokenRow(
                    position=len(rows),
                    token=token,
                    text=decode(token),
                    role=Role.CONTEXT,
                    trained=False,
                    turn=number,
                )
            )
        sampled = turn.completion
        columns = zip(sampled.tokens, sampled.logprobs, sampled.entropies, strict=True)
        for token, logprob, entropy in columns:
            rows.append(
                TokenRow(
                    position=len(rows),
                    token=token,
                    text=decode(token),
                    role=Role.SAMPLED,
                    trained=advantage is not None,
                    sampler_logprob=logprob,
                    trainer_logprob=next(trainer),
                    entropy=entropy,
                    advantage=advantage,
                    turn=number,
                )
            )
    return Peek(
        rollout_id=row.id,
        task_id=row.task_id,
        step=row.step,
        verdict=row.cause if row.verdict == "scored" else f"unscored, {row.cause}",
        reward=row.reward,
        detail=row.detail,
        advantage=advantage,
        tokens=tuple(rows),
        tripwire=row.tripwire,
        wire=tripped_wire(recorded.judged.verdict, is_tripwire=row.tripwire),
        num_turns=len(rollout.turns),
        turns=tuple(
            TurnEnd(
                verdict=failure.verdict.cause,
                detail=failure.verdict.detail,
                feedback=feedback_text(failure.feedback),
            )
            for failure in recorded.judged.failures
        ),
        note=note,
        trajectory=recorded.judged.trajectory,
    )


def verdict_line(peek: Peek) -> str:
    reward = "no score" if peek.reward is None else f"reward {peek.reward:g}"
    return f"verdict {peek.verdict}, {reward}" + (f": {peek.detail}" if peek.detail else "")


def peek_table(peek: Peek) -> Group:
    """For a terminal: the verdict, the tokens, and the counts that a wrong mask would upset."""
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for name in ("pos", "id"):
        table.add_column(name, justify="right", style="dim")
    table.add_column("text")
    table.add_column("role")
    table.add_column("trains")
    for name in ("sampler logp", "trainer logp", "|gap|", "entropy", "advantage"):
        table.add_column(name, justify="right")
    before = 0
    for row in peek.tokens:
        if row.turn != before:
            table.add_section()
            before = row.turn
        table.add_row(
            str(row.position),
            str(row.token),
            Text(one_token(row.text), style="" if row.role is Role.SAMPLED else "dim"),
            row.role.value,
            "●" if row.trained else "·",
            _number(row.sampler_logprob, "+.4f"),
            _number(row.trainer_logprob, "+.4f"),
            _number(row.gap, ".1e"),
            _number(row.entropy, ".3f"),
            _number(row.advantage, "+.3f"),
            style="" if row.role is Role.SAMPLED else "dim",
        )
    return Group(*(Text(line) for line in _head(peek)), table, Text(_foot(peek)))


def tripped_table(tripped: Sequence[TrippedRow]) -> Group:
    """For a terminal: every submission that was kept aside, whole."""
    if not tripped:
        return Group(Text("no rollout of this run tripped a wire"))
    parts: list[Text] = []
    for row in tripped:
        head = f"{row.rollout_id} of {row.task_id}, step {row.step}: {row.wire}, "
        parts += [
            Text(head + WIRE_SAYS[row.wire], style="bold"),
            Text(printable(row.answer)),
        ]
    return Group(*parts)


def _head(peek: Peek) -> list[str]:
    lines = [f"rollout {peek.rollout_id} of {peek.task_id}, step {peek.step}", verdict_line(peek)]
    if peek.wire is not None:
        lines.append(f"kept aside: tripped wire {peek.wire}, {WIRE_SAYS[peek.wire]}")
    if peek.tripwire:
        lines.append("the task is impossible: it is there to see who passes it")
    if peek.advantage is None:
        lines.append("advantage: none, this rollout does not train")
    else:
        lines.append(f"advantage {peek.advantage:+.4f}")
    for number, turn in enumerate(peek.turns, 1):
        lines.append(f"turn {number} of {peek.num_turns}: {turn.verdict}: {turn.detail}")
        lines += [f"    {line}" for line in turn.feedback.splitlines()]
    if peek.note:
        lines.append(peek.note)
    return [one_token(line).replace("␠", " ") for line in lines]


def _foot(peek: Peek) -> str:
    sampled = sum(row.role is Role.SAMPLED for row in peek.tokens)
    context = len(peek.tokens) - sampled
    foot = f"{context} context + {sampled} sampled tokens, {peek.num_trained} train"
    gap = peek.max_gap
    return foot if gap is None else f"{foot}; largest sampler–trainer gap {gap:.1e} nats"


def _number(value: float | None, spec: str) -> str:
    return "" if value is None else format(value, spec)
