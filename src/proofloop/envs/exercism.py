"""Exercises in the layout of Exercism's Python track: a folder (or .tar.gz) of exercises, each a
folder with instructions, a stub, hidden tests and a reference solution.

    leap/.docs/instructions.md      what is asked (introduction.md, instructions.append.md as well)
    leap/.meta/config.json          files: {solution: [...], test: [...], example: [...]}
    leap/.meta/example.py           the reference solution, or `exemplar` in place of `example`
    leap/leap.py, leap/leap_test.py
"""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from proofloop.core.errors import DataError, UserError
from proofloop.core.project import InlineTree, PlannedTest, ProjectTests, TreeFile, file_block
from proofloop.envs.data_file import Content, DataFileEnvironment, DataRow
from proofloop.envs.folders import read_folder

_CONFIG = ".meta/config.json"
_DOCS = (".docs/introduction.md", ".docs/instructions.md", ".docs/instructions.append.md")


class ConfigFiles(msgspec.Struct, frozen=True, kw_only=True):
    solution: list[str]
    test: list[str]
    example: list[str] = msgspec.field(default_factory=list[str])
    exemplar: list[str] = msgspec.field(default_factory=list[str])


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Of `.meta/config.json`, what concerns us."""

    files: ConfigFiles


class Exercise(DataRow, frozen=True, kw_only=True):
    slug: str
    instructions: str
    stubs: dict[str, str]
    """What the answer writes, by path, as it is before."""
    examples: dict[str, str]
    """The same files of the reference solution."""
    tests: dict[str, str]
    others: dict[str, bytes]
    """The rest of the project, which tests may import or read."""

    def address(self, index: int) -> str:
        return f"exercism/{self.slug}"

    def fault(self) -> str | None:
        return None

    def content(self) -> Content:
        files = {path: text.encode() for path, text in self.stubs.items()} | self.others
        tests = ProjectTests(
            tree=InlineTree(files=tuple(TreeFile(path=p, content=c) for p, c in files.items())),
            allowed=tuple(self.stubs),
            modules=tuple(TreeFile(path=p, content=t.encode()) for p, t in self.tests.items()),
            planned=tuple(
                PlannedTest(node_id=f"{path}::{name}")
                for path, text in self.tests.items()
                for name in names_of_tests(text)
            ),
            names=_wanted_names(self),
        )
        single = len(self.stubs) == 1
        oracle = next(iter(self.examples.values())) if single else _labelled(self.examples)
        return Content(prompt=_prompt(self), tests=tests, oracle=oracle)


class ExercismEnvironment(DataFileEnvironment[Exercise]):
    name = "exercism"
    row_type = Exercise
    example = "exercises/practice"

    def __init__(self, path: Path) -> None:
        """Raises DataError for an exercise that cannot be used, UserError without pytest."""
        if importlib.util.find_spec("pytest") is None:
            raise UserError(
                "exercism runs its tests with pytest, which is not installed: "
                "pip install 'proofloop[projects]'"
            )
        self._hold(path, list(_read(path)))


def _read(path: Path) -> Iterator[Exercise]:
    files = read_folder(path)
    folders = sorted({folder for name in files if (folder := _folder_of(name)) is not None})
    if not folders:
        raise DataError(path, None, f"holds no exercises (folders with {_CONFIG})")
    seen: set[str] = set()
    for folder in folders:
        slug = folder.rpartition("/")[2] or path.resolve().name
        own = {name[len(folder) :].lstrip("/"): content for name, content in files.items()
               if name.startswith(f"{folder}/" if folder else "")}  # fmt: skip
        try:
            if slug in seen:
                raise _Unusable(f"a second exercise named {slug}")
            yield _exercise(slug, own)
        except _Unusable as problem:
            raise DataError(path / folder, None, str(problem)) from problem
        seen.add(slug)


def _folder_of(name: str) -> str | None:
    """Of the exercise that a file makes one; None of other files."""
    for mark in (_CONFIG, *_DOCS):
        if f"/{name}".endswith(f"/{mark}"):
            return name.removesuffix(mark).rstrip("/")
    return None


class _Unusable(Exception):
    """What is wrong with an exercise."""


def _exercise(slug: str, files: Mapping[str, bytes]) -> Exercise:
    config = _config(files).files
    examples = config.example or config.exemplar
    for kind, paths in (("solution", config.solution), ("test", config.test)):
        if not paths:
            raise _Unusable(f"{_CONFIG} names no {kind} file")
    if len(examples) != len(config.solution):
        raise _Unusable(
            f"{_CONFIG} names {len(config.solution)} solution and {len(examples)} example files; "
            "each file of the solution needs its reference"
        )
    if not any(doc in files for doc in _DOCS):
        raise _Unusable(f"no {_DOCS[1]}: nothing says what is asked")
    tests = {path: _text(files, path) for path in config.test}
    for path, text in tests.items():
        try:
            if not names_of_tests(text):
                raise _Unusable(f"{path}: no tests in it")
        except SyntaxError as error:
            raise _Unusable(f"{path}: does not parse (line {error.lineno})") from error
    named = {*config.solution, *config.test}
    return Exercise(
        slug=slug,
        instructions="\n".join(_text(files, doc) for doc in _DOCS if doc in files),
        stubs={path: _text(files, path) for path in config.solution},
        examples={
            path: _text(files, example)
            for path, example in zip(config.solution, examples, strict=True)
        },
        tests=tests,
        others={p: c for p, c in sorted(files.items()) if p[0] != "." and p not in named},
    )


def _config(files: Mapping[str, bytes]) -> Config:
    if _CONFIG not in files:
        raise _Unusable(f"no {_CONFIG}, which names its files")
    try:
        return msgspec.json.decode(files[_CONFIG], type=Config)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error).replace("`", "")
        raise _Unusable(f"{_CONFIG}: {problem}") from error


def _text(files: Mapping[str, bytes], path: str) -> str:
    if path not in files:
        raise _Unusable(f"no {path}, which {_CONFIG} names")
    try:
        return files[path].decode()
    except UnicodeDecodeError as error:
        raise _Unusable(f"{path}: not UTF-8") from error


def names_of_tests(source: str) -> list[str]:
    """`function` and `Class::method` of a test module, in pytest's order: as they stand, but the
    methods of a TestCase by name."""
    names: list[str] = []
    methods: dict[str, list[str]] = {}
    cases: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
            names.append(node.name)
        elif isinstance(node, ast.ClassDef):
            bases = [base.id if isinstance(base, ast.Name) else getattr(base, "attr", "")
                     for base in node.bases]  # fmt: skip
            is_case = "TestCase" in bases or not cases.isdisjoint(bases)
            own = [name for base in bases for name in methods.get(base, [])]
            own += [m.name for m in node.body
                    if isinstance(m, ast.FunctionDef) and m.name.startswith("test")]  # fmt: skip
            methods[node.name] = list(dict.fromkeys(own))
            if is_case:
                cases.add(node.name)
            if is_case or node.name.startswith("Test"):
                ordered = sorted(methods[node.name]) if is_case else methods[node.name]
                names += [f"{node.name}::{name}" for name in ordered]
    return names


def _wanted_names(exercise: Exercise) -> tuple[str, ...]:
    """What the tests import from the one file of the solution, by name."""
    modules = {path.removesuffix(".py").replace("/", ".") for path in exercise.stubs}
    names: dict[str, None] = {}
    for text in exercise.tests.values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module in modules:
                names |= dict.fromkeys(alias.name for alias in node.names if alias.name != "*")
    return tuple(names)


def _prompt(exercise: Exercise) -> str:
    if len(exercise.stubs) == 1:
        ask = f"Write the Python file `{next(iter(exercise.stubs))}`, whole.\n"
    else:
        paths = ", ".join(f"`{path}`" for path in exercise.stubs)
        ask = (
            f"Write the Python files {paths}: each whole, in a code block of its own that begins "
            f"with ```python and the file's path, on one line.\n"
        )
    return f"{ask}\n{exercise.instructions.strip()}\n\nNow:\n\n{_labelled(exercise.stubs)}"


def _labelled(files: Mapping[str, str]) -> str:
    return "\n".join(file_block(path, text) for path, text in files.items())
