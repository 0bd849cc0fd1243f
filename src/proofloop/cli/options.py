"""Options that several verbs share, and what they amount to."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from proofloop.runs.recipe import Recipe

F = TypeVar("F", bound=Callable[..., Any])


def set_option(command: F) -> F:
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override one key of the recipe, for example train.num_steps=50.  Repeatable; "
        "the keys are in docs/reference/recipes.md.",
    )(command)


def data_option(command: F) -> F:
    return click.option(
        "--data",
        type=click.Path(path_type=str),
        help="Data file (exercism: folder or archive) of an environment that reads one "
        "(all but functions).",
    )(command)


def json_option(command: F) -> F:
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."
    )(command)


def tier_option(command: F) -> F:
    return click.option(
        "--tier",
        type=click.Choice(["T0", "T1", "T2", "T3"]),
        help="Isolation tier to insist on; without it, T1 or, where this machine refuses that, T0.",
    )(command)


def path_option(name: str, help_text: str) -> Callable[[F], F]:
    """An option that takes a path, which need not exist yet."""
    return click.option(name, type=click.Path(path_type=Path), help=help_text)


def served_model_option(command: F) -> F:
    return click.option(
        "--model",
        metavar="MODEL",
        default="pico",
        show_default=True,
        help="A checkpoint directory in Hugging Face format, such as a run's model/, or pico.",
    )(command)


def listening_options(port: int) -> Callable[[F], F]:
    """Where a server listens, by default at `port`, under which name and for whom."""
    options = (
        click.option(
            "--host", default="127.0.0.1", show_default=True, help="Address to listen at."
        ),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="Port to listen at; 0: any that is free.",
        ),
        click.option("--name", help="What callers call the model; by default as --model says."),
        click.option(
            "--threads",
            type=click.IntRange(min=0),
            default=0,
            help="0: as many as there are cores.",
        ),
        click.option(
            "--precision",
            type=click.Choice(["float32", "bfloat16"]),
            default="float32",
            show_default=True,
            help="Of products; bfloat16 is faster where `proofloop doctor` says so.",
        ),
        click.option(
            "--api-key", envvar="PROOFLOOP_API_KEY", help="What callers must send; none: nothing."
        ),
    )

    def add(command: F) -> F:
        for option in reversed(options):  # help lists the outermost first
            command = option(command)
        return command

    return add


def environment_recipe(
    env: str, data: str | None, overrides: tuple[str, ...], *more: str, source: str | None = None
) -> "Recipe":
    """A recipe for a verb that takes an environment by name.  Raises UserError."""
    from proofloop.runs.checks import load_recipe

    named = [f"env.name={env}"] + ([] if data is None else [f"env.data={data}"])
    return load_recipe(source, [*named, *more, *overrides])
