"""Tokens and chat templates of a checkpoint directory in Hugging Face format.

`ChatTokenizer` turns messages into context tokens and sampled tokens back into text.  Text is
never tokenized twice: what a policy sampled stays the ids that it sampled.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import msgspec
from tokenizers import Tokenizer

from proofloop.core.errors import ModelError
from proofloop.core.task import Message
from proofloop.render.templates import ChatTemplate, find_templates, special_tokens

_ANSWER = "\x01answer\x01"
"""Stands for a completion while a template is rendered around it."""


@dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer and the template that its model was trained with."""

    tokenizer: Tokenizer
    template: ChatTemplate
    stop_ids: tuple[int, ...]
    """Tokens that end a completion; sampling one is an action of the policy.  The first is the one
    that the template puts after an answer, where that is a special token."""

    @classmethod
    def load(cls, directory: Path) -> "ChatTokenizer":
        """Raises ModelError where a file is missing or damaged, where there is no chat template or
        no stop token, and where the model has no embedding for a token."""
        tokenizer = _load_tokenizer(directory)
        settings = _settings(directory)
        try:
            templates = find_templates(directory, settings.get("chat_template"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{directory}: cannot load the chat template ({error})") from error
        if "default" not in templates:
            raise ModelError(
                f"{directory}: no chat template, as base models have none; put one into "
                "chat_template.jinja, in Jinja, as tokenizer_config.json of a chat model has it"
            )
        tokens = special_tokens(settings)
        _check_embedding(tokenizer, directory)
        template = ChatTemplate(templates["default"], tokens)
        ends = (_turn_end(tokenizer, template), tokens.get("eos_token"))
        return cls(
            tokenizer=tokenizer,
            template=template,
            stop_ids=_stop_ids(tokenizer, directory, [end for end in ends if end is not None]),
        )

    def text(self, messages: tuple[Message, ...], *, add_generation_prompt: bool = True) -> str:
        """The template's text, ready for the model to answer.  Raises ModelError where the template
        refuses the messages."""
        return self.template.render(
            [{"role": m.role, "content": m.content} for m in messages],
            add_generation_prompt=add_generation_prompt,
        )

    def context(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """Context tokens; decoding them gives `text(messages)` back."""
        return self.encode(self.text(messages))

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def next_turn(
        self, messages: tuple[Message, ...], reply: Message, *, stopped: bool
    ) -> tuple[int, ...]:
        """Context tokens between a completion and the next one, with `reply` among them; `messages`
        are those before the completion.  They extend what the policy has seen and sampled, of which
        nothing is tokenized again.

        `stopped`: the completion ends with a stop token, which stands for the one that the template
        puts there.  No special token can come of the reply's text.  Raises ModelError for a
        template that does not show an assistant's words.
        """
        return self.extend(
            [{"role": m.role, "content": m.content} for m in messages],
            [{"role": reply.role, "content": reply.content}],
            stopped=stopped,
        )

    def opening(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> tuple[int, ...]:
        """Context tokens of messages as OpenAI's API has them, the tools among what the template
        shows.  No special token can come of their texts."""
        return self.encode(self.template.render(list(map(self._harmless, messages)), tools=tools))

    def extend(
        self,
        messages: Sequence[Mapping[str, Any]],
        replies: Sequence[Mapping[str, Any]],
        *,
        stopped: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> tuple[int, ...]:
        """As `next_turn`, with any replies (such as a tool's) as OpenAI's API has them."""
        turns = [
            *map(self._harmless, messages),
            {"role": "assistant", "content": _ANSWER},
            *map(self._harmless, replies),
        ]
        _, found, after = self.template.render(turns, tools=tools).partition(_ANSWER)
        if not found:
            raise ModelError("the chat template leaves an assistant's words out: no second turn")
        return self.encode(self._without_stop(after) if stopped else after)

    def _harmless(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        content = message.get("content")
        if not isinstance(content, str):
            return message
        return {**message, "content": self._inert(content).replace(_ANSWER, "")}

    def _without_stop(self, text: str) -> str:
        for stop in self.stop_texts:
            if text.startswith(stop):
                return text.removeprefix(stop)
        return text

    @cached_property
    def stop_texts(self) -> tuple[str, ...]:
        """Of `stop_ids`."""
        return tuple(self.decode((stop,), keep_special=True) for stop in self.stop_ids)

    def _inert(self, text: str) -> str:
        """The text with a blank within whatever would become a special token."""
        for token in self.tokenizer.get_added_tokens_decoder().values():
            if token.special and token.content in text:
                text = text.replace(token.content, f"{token.content[:1]} {token.content[1:]}")
        return text

    def decode(self, tokens: tuple[int, ...], *, keep_special: bool = False) -> str:
        return self.tokenizer.decode(list(tokens), skip_special_tokens=not keep_special)


def _load_tokenizer(directory: Path) -> Tokenizer:
    path = directory / "tokenizer.json"
    if not path.exists():
        others = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
        only = next((name for name in others if (directory / name).exists()), None)
        raise ModelError(
            f"{directory}: no tokenizer.json"
            + (
                f", only {only}; save it once with AutoTokenizer.from_pretrained and "
                "save_pretrained of Transformers, which writes tokenizer.json"
                if only
                else "; a checkpoint needs one to be trained"
            )
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers package raises bare Exception
        raise ModelError(f"{path}: cannot load the tokenizer ({error})") from error
    # A file may say both of how it was last used; contexts are never cut or filled up.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _settings(directory: Path) -> dict[str, Any]:
    """tokenizer_config.json, its special tokens filled up from special_tokens_map.json."""
    settings: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        read = _read_json(directory / name)
        settings |= {key: value for key, value in read.items() if value is not None}
    return settings


def _read_json(path: Path) -> dict[str, Any]:
    """Empty where there is no such file."""
    if not path.exists():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error


def _turn_end(tokenizer: Tokenizer, template: ChatTemplate) -> str | None:
    """The special token that the template puts after an answer.  A base model's own end is often
    another one, which a conversation never has."""
    question = {"role": "user", "content": "?"}
    answer = {"role": "assistant", "content": _ANSWER}
    try:
        text = template.render([question, answer], add_generation_prompt=False)
    except ModelError:  # it may want a system's message first; a run will say so where it matters
        return None
    after = text.partition(_ANSWER)[2].lstrip()
    added = tokenizer.get_added_tokens_decoder().values()
    ends = [t.content for t in added if t.special and after.startswith(t.content)]
    return max(ends, key=len, default=None)


def _stop_ids(tokenizer: Tokenizer, directory: Path, ends: list[str]) -> tuple[int, ...]:
    """Of `ends`, then those of generation_config.json or, without it, config.json."""
    ids: list[int] = []
    for end in ends:
        own = tokenizer.token_to_id(end)
        if own is None:
            raise ModelError(f"{directory}: the stop token {end!r} is not in the vocabulary")
        ids.append(own)
    advice = _read_json(directory / "generation_config.json").get("eos_token_id")
    if advice is None:
        advice = _read_json(directory / "config.json").get("eos_token_id")
    if advice is not None:
        ids += cast("list[int]", advice) if isinstance(advice, list) else [advice]
    if not ids:
        raise ModelError(
            f"{directory}: no stop token; name one as eos_token in tokenizer_config.json or as "
            "eos_token_id in generation_config.json"
        )
    for stop in ids:
        if tokenizer.id_to_token(stop) is None:
            raise ModelError(f"{directory}: eos_token_id {stop} is no token of tokenizer.json")
    return tuple(dict.fromkeys(ids))


def _check_embedding(tokenizer: Tokenizer, directory: Path) -> None:
    """A tokenizer of fewer tokens than the embedding has rows is common: rows are rounded up."""
    rows = _read_json(directory / "config.json").get("vocab_size")
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if isinstance(rows, int) and highest >= rows:
        raise ModelError(
            f"{directory}: tokenizer.json has token {tokenizer.id_to_token(highest)!r} with id "
            f"{highest}, but the embedding has {rows} rows (config.json: vocab_size); take the "
            "tokenizer that belongs to these weights, or the added token out of it"
        )
