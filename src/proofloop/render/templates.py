"""Chat templates: found as Transformers finds them, rendered with the helpers that it gives them.

Templates come with checkpoints, which are downloads: they run sandboxed, without loaders, over
plain data.  A template that calls `strftime_now` says today's date, and so another thing tomorrow.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import msgspec

from proofloop.core.errors import ModelError

TEMPLATE_NAME = "chat_template.jinja"
NAMED_TEMPLATES = "additional_chat_templates"
_SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


class _Named(msgspec.Struct):
    name: str
    template: str


def find_templates(directory: Path, setting: object) -> dict[str, str]:
    """Templates by name (`default` among them, mostly); `setting` is `chat_template` in
    tokenizer_config.json: none, a template, or a list of named ones.  Files take precedence.

    Raises ValueError for a setting of another form.
    """
    found: dict[str, str] = {}
    if isinstance(setting, str):
        found["default"] = setting
    elif setting is not None:
        found |= {t.name: t.template for t in msgspec.convert(setting, list[_Named])}
    if (directory / TEMPLATE_NAME).exists():
        found["default"] = (directory / TEMPLATE_NAME).read_text(encoding="utf-8")
    for path in sorted((directory / NAMED_TEMPLATES).glob("*.jinja")):
        found[path.stem] = path.read_text(encoding="utf-8")
    return found


def special_tokens(settings: Mapping[str, Any]) -> dict[str, str]:
    """What a template may name: `bos_token`, `eos_token` and so on, where there are such."""
    found: dict[str, str] = {}
    for name in _SPECIAL:
        token = settings.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str) and token:
            found[f"{name}_token"] = token
    return found


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what an assistant said, for tools that train on text; here it only
    lets its block through."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """As it stands: Jinja's own would escape it for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _now(layout: str) -> str:
    return datetime.now().strftime(layout)


@dataclass(frozen=True)
class ChatTemplate:
    """A template's source and the special tokens that it may name."""

    source: str
    tokens: Mapping[str, str] = field(default_factory=dict[str, str])

    @cached_property
    def _compiled(self) -> jinja2.Template:
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
            extensions=[_Generation, jinja2.ext.loopcontrols],
        )
        environment.filters["tojson"] = _tojson
        helpers: dict[str, Callable[..., Any]] = {"raise_exception": _refuse, "strftime_now": _now}
        environment.globals.update(helpers)
        return environment.from_string(self.source)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> str:
        """The text of `messages`; `options` are the template's own, such as `enable_thinking`.

        Raises ModelError where the template is broken or refuses the messages.
        """
        try:
            return self._compiled.render(
                {"messages": messages, "tools": tools, "documents": None}
                | {"add_generation_prompt": add_generation_prompt, **self.tokens, **options}
            )
        except jinja2.TemplateSyntaxError as error:
            where = f"line {error.lineno}"
            raise ModelError(f"the chat template is broken: {error.message}, {where}") from error
        except Exception as error:  # a template is a program: it may fail in any way
            roles = ", ".join(str(message.get("role")) for message in messages)
            first = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"the chat template fails on messages of {roles}: {first}; it may know no such "
                "roles, or not in this order"
            ) from error
