"""Reference pages made from the code: every verb with its options, every key of a recipe.

    python -m proofloop.cli.reference docs/reference

A test compares the pages in the repository with what this would write.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from proofloop.cli.app import VERBS, proofloop_command
from proofloop.core.record import Record
from proofloop.runs.config import dump_toml, keys_of
from proofloop.runs.recipe import LanguageConfig

_LANGUAGE_EXAMPLE = """```toml
[env]
name = "stdio"
data = "tasks.jsonl"
language = "rust"

[env.languages.rust]
file = "main.rs"
compile = "rustc -O main.rs -o main"
run = "{folder}/main"
read = ["~/.cargo", "~/.rustup"]
env = {RUSTUP_HOME = "~/.rustup"}
probe = "fn main() {}"
```
"""
_MADE = "<!-- made by `make docs`; edit the code instead -->\n"


def cli_page() -> str:
    """Every verb: its help text and its parameters."""
    context = click.Context(proofloop_command, info_name="proofloop")
    parts = [
        f"# Verbs of `proofloop`\n\n{_MADE}",
        "Results go to standard output, progress and errors to standard error. Exit codes: 0 done; "
        "1 it did not succeed; 2 the input, a flag or the machine does not do (one line says why); "
        "130 interrupted. `PROOFLOOP_DEBUG=1` shows tracebacks.\n",
    ]
    for verb in VERBS:
        command = proofloop_command.get_command(context, verb)
        assert command is not None
        parts.append(_verb(verb, command))
    return "\n".join(parts)


def recipes_page(kinds: Mapping[str, type[Record]]) -> str:
    """Every key of the given kinds of recipe, with its default."""
    parts = [
        f"# Recipe keys\n\n{_MADE}",
        "A recipe is a TOML file; `--set section.key=value` overrides a key. An unknown key or a "
        "value of another type is an error that names the key and where it was written. `none` "
        "unsets a key that may be unset.\n",
    ]
    for title, kind in kinds.items():
        defaults = _defaults(kind)
        parts.append(f"## {title}\n")
        parts.append("| key | default | meaning |\n| --- | --- | --- |")
        for path, owner, name in keys_of(kind):
            meaning = attribute_strings(owner).get(name, "")
            parts.append(f"| `{path}` | `{defaults.get(path, 'none')}` | {meaning} |")
        parts.append("")
    parts.append("## `[env.languages.NAME]`\n")
    parts.append(" ".join((LanguageConfig.__doc__ or "").split()) + " For example:\n")
    parts.append(_LANGUAGE_EXAMPLE)
    parts.append("| key | meaning |\n| --- | --- |")
    for name, meaning in attribute_strings(LanguageConfig).items():
        parts.append(f"| `{name}` | {meaning} |")
    return "\n".join([*parts, ""])


def attribute_strings(record: type[Record]) -> dict[str, str]:
    """The strings that stand under the fields in the source, one line each."""
    (body,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(body, ast.ClassDef)
    strings: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(s))
            ):
                strings[name] = " ".join(s.split()).replace("|", "\\|")
            case _:
                pass
    return strings


def _defaults(kind: type[Record]) -> dict[str, str]:
    """What a recipe that says nothing comes to, by key, as TOML."""
    values: dict[str, str] = {}
    section = ""
    for line in dump_toml(kind()).splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line:
            key, _, value = line.partition(" = ")
            values[f"{section}.{key}"] = value
    return values


def _verb(verb: str, command: click.Command) -> str:
    lines = [f"## `proofloop {verb}`\n"]
    in_example = False
    for line in inspect.cleandoc(command.help or "").splitlines():
        if line == "\b":
            in_example = True
        elif in_example:
            lines += ["```sh"] if line.startswith("Example") else [line.removeprefix("  ")]
        else:
            lines.append(line)
    lines += ["```", ""] if in_example else [""]
    rows = [_parameter(parameter) for parameter in command.params]
    if rows:
        lines += ["| parameter | meaning |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def _parameter(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Option):
        value = "" if parameter.is_flag else f" {parameter.metavar or _value_name(parameter)}"
        needed = "Required. " if parameter.required else ""
        text = " ".join((parameter.help or "").split())
        return f"| `{', '.join(parameter.opts)}{value}` | {needed}{text} |".replace("…|", "…\\|")
    name = parameter.metavar or (parameter.name or "").upper()
    return f"| `{name}` | {'Required.' if parameter.required else 'Optional.'} |"


def _value_name(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return " \\| ".join(str(choice) for choice in option.type.choices)
    return "N" if isinstance(option.type, click.types.IntParamType) else option.type.name.upper()


def pages() -> dict[str, str]:
    """File name -> text."""
    from proofloop.mine.config import MineRecipe
    from proofloop.runs.pretraining import PretrainRecipe
    from proofloop.runs.recipe import Recipe

    kinds = {
        "Training and evaluation": Recipe,
        "Pre-training": PretrainRecipe,
        "Mining": MineRecipe,
    }
    return {"cli.md": cli_page(), "recipes.md": recipes_page(kinds)}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, text in pages().items():
        (folder / name).write_text(text)
