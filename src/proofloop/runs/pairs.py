"""Preference pairs from a file, or from a run's own verdicts.

Rows of the file have `prompt` (text: a user's message) or `messages`, and `chosen` and `rejected`:
text, or a list of one assistant's message.  Other columns are let pass.  Pairs of a run are token
for token what it sampled.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import product
from pathlib import Path
from random import Random

import msgspec

from proofloop.core.errors import DataError, ModelError, RunError
from proofloop.core.rollout import Rollout
from proofloop.core.task import Message, TaskId
from proofloop.envs.rows import Line, decode_row, read_lines
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.store import Phase, RecordedGroup, RunReader
from proofloop.train.config import PreferenceConfig
from proofloop.train.loop_pairs import PairLessons
from proofloop.train.pairs import Answer, Pair, length_offset
from proofloop.train.samples import continuation_of
from proofloop.train.tripwires import training


class PairRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the file."""

    prompt: str | list[Message] | None = None
    messages: list[Message] | None = None
    chosen: str | list[Message]
    rejected: str | list[Message]


def read_pairs(path: Path, tokenizer: ChatTokenizer, *, max_positions: int) -> list[Pair]:
    """Raises DataError (file, line, what is wrong) for the first row that is no pair."""
    pairs = [_pair(path, line, tokenizer, max_positions=max_positions) for line in read_lines(path)]
    if not pairs:
        raise DataError(path, None, "no rows; each line is a JSON object with a pair")
    return pairs


def _pair(path: Path, line: Line, tokenizer: ChatTokenizer, *, max_positions: int) -> Pair:
    row = decode_row(path, line, PairRow)

    def wrong(problem: str) -> DataError:
        return DataError(path, line.number, problem)

    if (row.prompt is None) == (row.messages is None):
        raise wrong("needs a prompt or messages, one of the two")
    prompt = row.messages if row.prompt is None else row.prompt
    asked = [Message(role="user", content=prompt)] if isinstance(prompt, str) else prompt
    if not asked or not any(message.content.strip() for message in asked):
        raise wrong("an empty prompt; take the row out, or give it one")
    if asked[-1].role == "assistant":
        raise wrong("the prompt ends with an assistant's message; chosen and rejected follow it")
    texts: list[str] = []
    for name, answer in (("chosen", row.chosen), ("rejected", row.rejected)):
        if isinstance(answer, list):
            if [message.role for message in answer] != ["assistant"]:
                raise wrong(
                    f"{name} is a list of {len(answer)} messages; it must be text or one message "
                    "of the assistant (what they share belongs into messages)"
                )
            answer = answer[0].content
        if not answer.strip():
            raise wrong(f"{name} is empty; take the row out, or give it an answer")
        texts.append(answer)
    if texts[0] == texts[1]:
        raise wrong("chosen and rejected are the same, so nothing is preferred; take the row out")
    try:
        context = tokenizer.context(tuple(asked))
    except ModelError as error:
        raise wrong(str(error)) from error
    chosen, rejected = ((*tokenizer.encode(text), tokenizer.stop_ids[0]) for text in texts)
    needed = len(context) + max(len(chosen), len(rejected)) + 1
    if needed > max_positions:
        raise wrong(
            f"{needed} tokens, and the model reads {max_positions}; shorten it, take it out, or "
            "take a model with more positions"
        )
    return Pair(
        task_id=_name(asked),
        context=context,
        chosen=_whole(chosen),
        rejected=_whole(rejected),
    )


def _name(messages: Sequence[Message]) -> TaskId:
    """By what is asked."""
    text = "\x00".join(f"{m.role}\x01{m.content}" for m in messages)
    return TaskId(f"pair/{blake2b(text.encode(), digest_size=8).hexdigest()}")


def _whole(tokens: tuple[int, ...]) -> Answer:
    return Answer(tokens=tokens, sampled=(True,) * len(tokens))


def pairs_of_run(source: RunReader, *, pairs_per_task: int, seed: int) -> list[Pair]:
    """Of every task that its training sampled: one that passed the hidden tests and one that did
    not, whatever they were rewarded with; unscored ones and impossible tasks are left out, equal
    answers count once.  Raises RunError where no task has both."""
    pairs = [
        pair
        for step in source.recorded_steps(Phase.TRAIN)
        for recorded in training(source.load_groups(Phase.TRAIN, step))
        for pair in _pairs_of_group(recorded, pairs_per_task, seed, step)
    ]
    if not pairs:
        raise RunError(
            f"{source.directory}: no task of its training has both a right and a wrong answer, so "
            "there is nothing to prefer; name a run that solves some of its tasks sometimes"
        )
    return pairs


def _pairs_of_group(
    recorded: RecordedGroup, pairs_per_task: int, seed: int, step: int
) -> Iterator[Pair]:
    sides: tuple[list[Rollout], list[Rollout]] = ([], [])
    for rollout, verdict in recorded.group.scored:
        side = sides[0 if verdict.passed else 1]
        if all(rollout.answer != other.answer for other in side):
            side.append(rollout)
    chances = Random(f"pairs {seed} {step} {recorded.slot}")
    combined = list(product(*sides))
    # Spread over the answers before any comes twice.
    chances.shuffle(combined)
    used: dict[str, int] = {}
    for _ in range(min(pairs_per_task, len(combined))):
        chosen, rejected = min(
            combined, key=lambda pair: used.get(pair[0].id, 0) + used.get(pair[1].id, 0)
        )
        combined.remove((chosen, rejected))
        for rollout in (chosen, rejected):
            used[rollout.id] = used.get(rollout.id, 0) + 1
        yield Pair(
            task_id=recorded.task.id,
            context=chosen.turns[0].context,
            chosen=_answer(chosen),
            rejected=_answer(rejected),
        )


def _answer(rollout: Rollout) -> Answer:
    after = continuation_of(rollout)
    return Answer(tokens=tuple(after.tokens), sampled=tuple(after.sampled))


def lessons_of(
    pairs: Sequence[Pair], config: PreferenceConfig, *, source: str, seed: int, offset: bool
) -> PairLessons:
    """Prompts dealt into those that train and those that are kept.  Raises RunError where one side
    has none."""
    names = list(dict.fromkeys(pair.task_id for pair in pairs))
    Random(f"heldout pairs {seed}").shuffle(names)
    num_kept = round(config.heldout_share * len(names))
    kept = set(names[:num_kept])
    train = tuple(pair for pair in pairs if pair.task_id not in kept)
    if not train or (config.heldout_share and not kept):
        raise RunError(
            f"{source}: {len(names)} prompts with pairs, of which preference.heldout_share = "
            f"{config.heldout_share:g} keeps {num_kept}; both sides need one: more pairs, or "
            "another share"
        )
    return PairLessons(
        pairs=train,
        heldout=tuple(pair for pair in pairs if pair.task_id in kept),
        length_slope=length_offset(train) if offset else 0.0,
        source=source,
    )
