"""Small repositories, tokenizers and policies for the tests of agents."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from proofloop.agent.permissions import Permissions
from proofloop.render.templates import ChatTemplate
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model
from proofloop.testing import ScriptedEngine

INTERPRETER = str(Path(sys.base_prefix).resolve())
VENV = str(Path(sys.prefix).resolve())
TEST_COMMAND = (sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider")

NATIVE = """
{%- if tools %}<|user|>tools:{% for t in tools %} {{ t.function.name }}{% endfor %}{{ '\n' }}{% endif %}
{%- for m in messages %}{{ '<|' + ('user' if m.role == 'tool' else m.role) + '|>' }}
{%- if m.role == 'tool' %}<tool_response>{{ m.content }}</tool_response>
{%- else %}{{ m.content }}{% endif %}
{%- if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""  # noqa: E501


@lru_cache(maxsize=1)
def plain_tokenizer() -> ChatTokenizer:
    """Pico's: turns and nothing else."""
    return ChatTokenizer.load(resolve_model("pico"))


@lru_cache(maxsize=1)
def native_tokenizer() -> ChatTokenizer:
    """With a template that names tools and shows their results."""
    plain = plain_tokenizer()
    return replace(plain, template=ChatTemplate(NATIVE, plain.template.tokens))


def make_repository(folder: Path) -> Path:
    """One module with a bug, one test that sees it."""
    (folder / "pkg").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "pkg" / "__init__.py").write_text("")
    (folder / "pkg" / "add.py").write_text("def add(a, b):\n    return a - b\n")
    (folder / "tests" / "test_add.py").write_text(
        "from pkg.add import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
    )
    return folder


def permissions(**more: object) -> Permissions:
    """That show commands the interpreter which runs us."""
    shown = tuple(dict.fromkeys(p for p in (INTERPRETER, VENV) if p not in ("/usr", "/")))
    env = (("PYTHONPATH", "."), ("PYTHONDONTWRITEBYTECODE", "1"))
    return Permissions(host_read=shown, env=env, **more)  # type: ignore[arg-type]


def scripted(
    tokenizer: ChatTokenizer, says: Sequence[str] | Callable[[str], str]
) -> ScriptedEngine:
    """Real tokens: says these texts in turn, or what a function makes of the context's text."""
    left = iter(() if callable(says) else says)

    def script(context: tuple[int, ...], seed: int) -> tuple[int, ...]:
        text = says(tokenizer.decode(context, keep_special=True)) if callable(says) else next(left)
        return tokenizer.encode(text)

    return ScriptedEngine(script, stop_token=tokenizer.stop_ids[0])


def python() -> str:
    return os.path.realpath(sys.executable)
