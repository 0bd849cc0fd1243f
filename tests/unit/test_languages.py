"""Languages of a recipe: what may be said, what it comes to, what is refused when it is loaded."""

from pathlib import Path

import pytest

from proofloop.core.errors import ConfigError
from proofloop.core.language import BUILT_IN, PYTHON
from proofloop.core.task import Stages
from proofloop.runs.config import dump_toml, load_config
from proofloop.runs.languages import languages_of
from proofloop.runs.recipe import EnvConfig, LanguageConfig, Recipe

RUST = """
[env]
name = "stdio"
data = "x.jsonl"
language = "rust"
stages = {compiles = 0.1, runs = 0.2, passes = 0.7}

[env.languages.rust]
file = "main.rs"
compile = "rustc -O 'main.rs' -o main"
run = "./main --fast"
read = ["~/.cargo"]
env = {RUSTUP_HOME = "/opt/rust up", CARGO_HOME = "~/.cargo"}
memory_mb = 512
num_processes = 4
probe = "fn main() {}"
"""


def recipe(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return load_config(Recipe, str(path))


def test_a_language_from_a_recipe(tmp_path: Path) -> None:
    read = recipe(tmp_path, RUST)
    rust = languages_of(read.env)["rust"]
    assert rust.compile == ("rustc", "-O", "main.rs", "-o", "main")
    assert rust.run == ("{folder}/main", "--fast")
    assert (rust.name, rust.title, rust.file, rust.fences) == ("rust", "rust", "main.rs", ("rust",))
    assert rust.read == (str(Path("~/.cargo").expanduser()),)
    assert rust.env == (("RUSTUP_HOME", "/opt/rust up"), ("CARGO_HOME", rust.read[0]))
    assert (rust.memory_bytes, rust.num_processes) == (512 * 1024**2, 4)
    assert not rust.is_forked
    assert read.env.stages == Stages(compiles=0.1, runs=0.2, passes=0.7)


def test_languages_survive_the_way_through_toml(tmp_path: Path) -> None:
    read = recipe(tmp_path, RUST)
    assert recipe(tmp_path, dump_toml(read)) == read


def test_what_is_said_of_a_built_in_language_is_all_that_changes() -> None:
    given = LanguageConfig(compile=("clang++", "-o", "main", "main.cpp"))
    cpp = languages_of(EnvConfig(languages={"cpp": given}))["cpp"]
    assert cpp.compile[0] == "clang++"
    assert (cpp.run, cpp.probe) == (BUILT_IN["cpp"].run, BUILT_IN["cpp"].probe)
    assert languages_of(EnvConfig())["python"] is PYTHON
    pypy = LanguageConfig(run="pypy3 main.py")
    python = languages_of(EnvConfig(languages={"python": pypy}))["python"]
    assert (python.is_forked, python.run) == (False, ("pypy3", "{folder}/main.py"))


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        ("go", LanguageConfig(file="main.go"), "env.languages.go.run: required"),
        ("go", LanguageConfig(run="./main"), "env.languages.go.file: required"),
        ("go", LanguageConfig(file="../x", run="./m"), "'../x' is not a plain file name"),
        ("go", LanguageConfig(file=".x", run="./m"), "'.x' is not a plain file name"),
        ("go", LanguageConfig(file="x.go", run="go run 'x.go"), "cannot be split"),
        ("go", LanguageConfig(file="x.go", run=""), "no program to run"),
        ("go", LanguageConfig(file="x.go", run=("", "x")), "no program to run"),
        ("go", LanguageConfig(file="x.go", run="go main"), "nothing in it says {folder}"),
        ("c", LanguageConfig(num_processes=0), "num_processes must be at least 1"),
        ("c", LanguageConfig(memory_mb=0), "memory_bytes must be at least 1"),
        ("c", LanguageConfig(compile_s=0), "compile_s must be at least 1"),
    ],
)
def test_a_language_that_cannot_be_used_is_one_clear_line(
    name: str, given: LanguageConfig, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        languages_of(EnvConfig(languages={name: given}))
    assert str(caught.value).startswith(f"env.languages.{name}")
    assert problem in str(caught.value)


def test_an_unknown_language_suggests_a_known_one() -> None:
    with pytest.raises(ConfigError, match=r"no language 'javscript'; did you mean 'javascript'\?"):
        languages_of(EnvConfig(language="javscript"))


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("env.languages={go={compiler='go'}}", "env.languages: "),
        ("env.stages={compiles=0.5, passes=0.4}", "add up to 1"),
        ("env.stages={compiles=1.0, passes=0.0}", "something left for passes"),
        ("env.stages={compiles=-0.5, passes=1.5}", "must not be negative"),
        ("env.stages={compile=0.5}", "env.stages: "),
    ],
)
def test_wrong_values_name_their_key(override: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Recipe, None, [override])
    assert problem in str(caught.value)


def test_every_built_in_language_says_where_its_program_is_and_has_a_probe() -> None:
    for name, language in BUILT_IN.items():
        assert language.name == name
        assert any("{folder}" in part for part in language.run)
        assert language.probe
        assert language.fences == tuple(tag.lower() for tag in language.fences)
