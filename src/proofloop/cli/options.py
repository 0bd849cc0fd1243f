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


def environment_recipe(
    env: str, data: str | None, overrides: tuple[str, ...], *more: str, source: str | None = None
) -> "Recipe":
    """A recipe for a verb that takes an environment by name.  Raises UserError."""
    from proofloop.runs.checks import load_recipe

    named = [f"env.name={env}"] + ([] if data is None else [f"env.data={data}"])
    return load_recipe(source, [*named, *more, *overrides])
