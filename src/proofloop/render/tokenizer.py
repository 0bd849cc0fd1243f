"""Tokens and chat templates of a checkpoint directory in Hugging Face format.

`ChatTokenizer` turns messages into context tokens and sampled tokens back into text.  Text is
never tokenized twice: what a policy sampled stays the ids that it sampled.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2.sandbox
import msgspec
from tokenizers import Tokenizer

from proofloop.core.errors import ModelError
from proofloop.core.task import Message

_ANSWER = "\x01answer\x01"
"""Stands for a completion while a template is rendered around it."""


class _TokenizerConfig(msgspec.Struct):
    """The parts of `tokenizer_config.json` that rendering needs; other keys belong to others."""

    chat_template: str
    eos_token: str | dict[str, Any]
    bos_token: str | dict[str, Any] | None = None

    def token_text(self, value: str | dict[str, Any] | None) -> str:
        return value["content"] if isinstance(value, dict) else (value or "")


@dataclass(frozen=True)
class ChatTokenizer:
    """A tokenizer and the template that its model was trained with."""

    tokenizer: Tokenizer
    template: str
    bos_text: str
    eos_text: str

    @classmethod
    def load(cls, directory: Path) -> "ChatTokenizer":
        """Raises ModelError where a file is missing, damaged or has no chat template."""
        try:
            tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
            raw = (directory / "tokenizer_config.json").read_bytes()
            config = msgspec.json.decode(raw, type=_TokenizerConfig)
        except Exception as error:  # the tokenizers package raises bare Exception
            raise ModelError(
                f"{directory}: cannot load the tokenizer ({error}); a checkpoint needs "
                "tokenizer.json and tokenizer_config.json with a chat_template"
            ) from error
        return cls(
            tokenizer=tokenizer,
            template=config.chat_template,
            bos_text=config.token_text(config.bos_token),
            eos_text=config.token_text(config.eos_token),
        )

    @cached_property
    def _compiled(self) -> jinja2.Template:
        # Templates come with checkpoints, which are downloads: sandboxed, and without loaders.
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, autoescape=False
        )
        return environment.from_string(self.template)

    @property
    def stop_ids(self) -> tuple[int, ...]:
        """Tokens that end a completion; sampling one is an action of the policy."""
        stop = self.tokenizer.token_to_id(self.eos_text)
        if stop is None:
            raise ModelError(f"the stop token {self.eos_text!r} is not in the vocabulary")
        return (stop,)

    def text(self, messages: tuple[Message, ...]) -> str:
        """The template's text, ready for the model to answer."""
        return self._compiled.render(
            messages=[{"role": m.role, "content": m.content} for m in messages],
            add_generation_prompt=True,
            bos_token=self.bos_text,
            eos_token=self.eos_text,
        )

    def context(self, messages: tuple[Message, ...]) -> tuple[int, ...]:
        """Context tokens; decoding them gives `text(messages)` back."""
        return tuple(self.tokenizer.encode(self.text(messages), add_special_tokens=False).ids)

    def next_turn(
        self, messages: tuple[Message, ...], reply: Message, *, stopped: bool
    ) -> tuple[int, ...]:
        """Context tokens between a completion and the next one, with `reply` among them; `messages`
        are those before the completion.  They extend what the policy has seen and sampled, of which
        nothing is tokenized again.

        `stopped`: the completion ends with its stop token, which the template puts there, too.  No
        special token can come of the reply's text.  Raises ModelError for a template that does not
        show an assistant's words.
        """
        turns = (
            *messages,
            Message(role="assistant", content=_ANSWER),
            Message(role=reply.role, content=self._inert(reply.content)),
        )
        _, found, after = self.text(turns).partition(_ANSWER)
        if not found:
            raise ModelError("the chat template leaves an assistant's words out: no second turn")
        if stopped:
            after = after.removeprefix(self.eos_text)
        return tuple(self.tokenizer.encode(after, add_special_tokens=False).ids)

    def _inert(self, text: str) -> str:
        """The text with a blank within whatever would become a special token."""
        for token in self.tokenizer.get_added_tokens_decoder().values():
            if token.special and token.content in text:
                text = text.replace(token.content, f"{token.content[:1]} {token.content[1:]}")
        return text

    def decode(self, tokens: tuple[int, ...], *, keep_special: bool = False) -> str:
        return self.tokenizer.decode(list(tokens), skip_special_tokens=not keep_special)
