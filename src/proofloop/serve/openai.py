"""What is asked and answered over HTTP, in the words of OpenAI's API.

Beside those, as vLLM has them: `top_k`, `min_p` and `return_token_ids`.  A field that would change
the answer and is not understood is refused, not passed over; some that change nothing are taken.
"""

from typing import Any, Literal

import msgspec

from proofloop.core.completion import SamplingParams, StopReason
from proofloop.core.errors import UserError
from proofloop.core.task import Message


class TextPart(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class ChatMessage(msgspec.Struct):
    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def message(self) -> Message:
        text = self.content
        if not isinstance(text, str):
            text = "".join(part.text for part in text)
        return Message(role=self.role, content=text)


class Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What both kinds of question have."""

    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    n: int | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    """May only say the model's own."""
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    return_token_ids: bool | None = None
    # These change nothing of an answer.
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    # These do, so they may only say what is the case anyway.
    presence_penalty: Literal[0] | None = None
    frequency_penalty: Literal[0] | None = None
    logit_bias: dict[str, float] | None = None

    @property
    def num_answers(self) -> int:
        return 1 if self.n is None else self.n

    @property
    def wants_usage(self) -> bool:
        """At the end of a stream."""
        return bool((self.stream_options or {}).get("include_usage"))

    def sampling(self, max_tokens: int) -> SamplingParams:
        """Raises UserError."""
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
        wrong = (
            "n: must lie between 1 and 128" if not 1 <= self.num_answers <= 128 else
            "logit_bias: is not supported" if self.logit_bias else
            "stop: at most 16 strings, none of them empty" if len(stop) > 16 or "" in stop else
            "max_tokens: no room is left for an answer" if max_tokens < 1 else
            None
        )  # fmt: skip
        for name, value, low, high in (
            ("temperature", self.temperature, 0, 100),
            ("top_p", self.top_p, 1e-6, 1),
            ("top_k", self.top_k, -1, 2**31 - 1),
            ("min_p", self.min_p, 0, 1),
        ):
            if value is not None and not low <= value <= high:
                wrong = f"{name}: {value} must lie between {low:g} and {high:g}"
        if wrong:
            raise UserError(wrong)
        return SamplingParams(
            max_tokens=max_tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            top_k=max(0, self.top_k or 0),
            min_p=self.min_p or 0.0,
            stop=stop,
        )


class ChatAsked(Asked, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/chat/completions."""

    messages: list[ChatMessage]
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: Literal[0] | None = None


class CompletionAsked(Asked, kw_only=True, forbid_unknown_fields=True):
    """POST /v1/completions."""

    prompt: str | list[int]
    logprobs: Literal[0, 1] | None = None
    echo: Literal[False] | None = None


FINISH_REASONS = {
    StopReason.STOP: "stop",
    StopReason.STOP_STRING: "stop",
    StopReason.LENGTH: "length",
}


def error_body(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def usage(num_context: int, num_sampled: int) -> dict[str, int]:
    return {
        "prompt_tokens": num_context,
        "completion_tokens": num_sampled,
        "total_tokens": num_context + num_sampled,
    }
