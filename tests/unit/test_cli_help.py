"""Help texts and reference pages: complete, quick, and current."""

import inspect
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from proofloop.cli.app import VERBS, proofloop_command
from proofloop.cli.reference import attribute_strings, pages
from proofloop.runs.config import keys_of
from proofloop.runs.recipe import Recipe, TrainConfig

ROOT = Path(__file__).parents[2]
CONTEXT = click.Context(proofloop_command, info_name="proofloop")
HELP = """
import sys
from proofloop.cli import main
assert main(["--help"]) == 0
heavy = {"torch", "numpy", "rich", "matplotlib", "tokenizers"} & set(sys.modules)
assert not heavy, heavy
verbs = [m for m in sys.modules if m.startswith("proofloop.") and m.count(".") > 1]
print(len(sys.modules), *verbs, file=sys.stderr)
"""


def test_help_imports_little_and_answers_at_once() -> None:
    times: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", HELP], capture_output=True, text=True, timeout=60
        )
        times.append(time.perf_counter() - began)
        assert done.returncode == 0, done.stderr
    count, *modules = done.stderr.split()
    assert int(count) < 300
    assert set(modules) <= {"proofloop.cli.app", "proofloop.core.errors"}
    for verb, line in VERBS.items():
        assert verb in done.stdout
        assert line.split()[0] in done.stdout
    assert min(times) < 0.3, times


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_help_shows_an_example_and_begins_with_its_line(verb: str) -> None:
    command = proofloop_command.get_command(CONTEXT, verb)
    assert command is not None
    text = inspect.cleandoc(command.help or "")
    assert text.startswith(VERBS[verb])
    assert "\b\nExample" in text
    assert f"  proofloop {verb}" in text
    for parameter in command.params:
        if isinstance(parameter, click.Option) and parameter.name not in {"num_tasks", "split"}:
            assert parameter.help, f"{verb} {parameter.name} has no help"


def test_every_file_of_a_verb_is_in_the_table() -> None:
    import proofloop.cli

    files = {path.stem.replace("_", "-") for path in Path(proofloop.cli.__path__[0]).glob("*.py")}
    helpers = {"--init--", "app", "options", "output", "progress", "reference", "sections"}
    assert files - helpers - {"training-progress"} == set(VERBS)


@pytest.mark.parametrize("name", ["cli.md", "recipes.md"])
def test_the_reference_pages_are_current(name: str) -> None:
    page = ROOT / "docs" / "reference" / name
    assert page.read_text(encoding="utf-8") == pages()[name], "run `make docs`"


def test_every_key_of_a_section_that_users_rely_on_is_in_the_reference() -> None:
    page = pages()["recipes.md"]
    for path, owner, name in keys_of(Recipe):
        row = next(line for line in page.splitlines() if line.startswith(f"| `{path}` |"))
        assert row.endswith(f"| {attribute_strings(owner).get(name, '')} |")
    assert attribute_strings(TrainConfig)["num_steps"]
