"""The panel for file trees: the attacks of their card, end states that are nearly the wanted one,
and the wanted one left behind by other ways."""

from collections.abc import Iterator

from proofloop.core.file_tree import FileTree, TreeFile, TreeFolder, folders_above
from proofloop.verify.audit.dialects import DIALECTS, Dialect, Step
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.language_fixtures import in_prose, of_cards
from proofloop.verify.cards import file_trees

_COSTLY = frozenset(("huge", "many", "deep", "spin", "flood", "bomb", "sparse"))
MAX_BYTES = 200_000
"""Of the wanted files together, or they are not written out."""
_ENDINGS = (("C11", "abort", False), ("C13", "loop", True), ("H8", "flood", True))
"""After which even the right end state earns nothing; a status is let be."""


def tree_fixtures(tests: FileTree, oracle: str) -> Iterator[Fixture]:
    yield from of_cards(file_trees.CARDS, tests.language, _COSTLY)
    yield from in_prose(tests.language, oracle)
    dialect = DIALECTS.get(tests.language.name)
    files = [entry for entry in tests.wanted if isinstance(entry, TreeFile)]
    if dialect is None or sum(len(file.content) for file in files) > MAX_BYTES:
        return
    right = _steps(tests)
    answer = dialect.doing(right)
    if answer is not None:
        yield Fixture(kind=Kind.HONEST, name="written-out", answer=answer)
    for row, name, costly in _ENDINGS:
        yield from _attack(dialect, row, f"right-then-{name}", right, ending=name, costly=costly)
    for row, name, steps in _bent(tests, right):
        yield from _attack(dialect, row, name, steps)


def _attack(
    dialect: Dialect,
    row: str,
    name: str,
    steps: list[Step],
    *,
    ending: str = "",
    costly: bool = False,
) -> Iterator[Fixture]:
    answer = dialect.doing(steps, ending)
    if answer is not None:
        yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer, costly=costly)


def _steps(tests: FileTree) -> list[Step]:
    """From what is given to what is wanted."""
    given = {entry.path: entry for entry in tests.given}
    wanted = {entry.path: entry for entry in tests.wanted}
    kept = set(wanted) | {above for path in wanted for above in folders_above(path)}
    steps: list[Step] = []
    for path in given:
        gone = path in tests.absent or (not tests.allows_surplus and path not in kept)
        if gone and not any(above in tests.absent for above in folders_above(path)):
            steps.append(Step("remove", path))
    folders = {above for path in wanted for above in folders_above(path)}
    folders |= {path for path, entry in wanted.items() if isinstance(entry, TreeFolder)}
    there = set(given) | {above for path in given for above in folders_above(path)}
    steps += [Step("folder", path) for path in sorted(folders - there)]
    for path, entry in wanted.items():
        if isinstance(entry, TreeFile) and given.get(path) != entry:
            steps += [Step("file", path, entry.content), _mode(path, entry.is_executable)]
    return steps


def _mode(path: str, is_executable: bool) -> Step:
    return Step("executable" if is_executable else "plain", path)


def _bent(tests: FileTree, right: list[Step]) -> Iterator[tuple[str, str, list[Step]]]:
    if right:
        yield (
            "E3",
            "a-report-instead",
            [
                Step("file", "passed", b"1"),
                Step("file", "reward.txt", b"1"),
            ],
        )
        yield "I1", "last-step-missing", right[:-2] if right[-1].op != "remove" else right[:-1]
    if tests.absent and any(step.op == "remove" for step in right):
        left = [step for step in right if step.op != "remove"]
        yield "I1", "what-was-to-go-is-there", left
    if not tests.allows_surplus:
        yield "A6", "a-file-more", [*right, Step("file", "notes.txt", b"")]
        yield "A6", "a-folder-more", [*right, Step("folder", "notes")]
    files = [step for step in right if step.op == "file"]
    if files:
        yield from _bent_file(right, files[-1])


def _bent_file(right: list[Step], file: Step) -> Iterator[tuple[str, str, list[Step]]]:
    """One file that is not quite as wanted."""
    mode = next(step for step in right if step.path == file.path and step.op != "file")
    rest = [step for step in right if step.path != file.path]
    content = file.content
    if content:
        yield "I6", "last-byte-missing", [*rest, Step("file", file.path, content[:-1]), mode]
        other = content[:-1] + bytes([content[-1] ^ 1])
        yield "I6", "last-byte-other", [*rest, Step("file", file.path, other), mode]
    yield "I6", "one-byte-more", [*rest, Step("file", file.path, content + b"\n"), mode]
    yield "I", "other-mode", [*rest, file, _mode(file.path, mode.op != "executable")]
    yield "I", "a-folder-instead", [*rest, Step("folder", file.path)]
    yield "F12", "a-pipe-instead", [*rest, Step("pipe", file.path)]
    aside = f"{file.path}.real"
    target = aside.rpartition("/")[2].encode()
    yield (
        "F12",
        "a-link-to-it",
        [
            *rest,
            Step("file", aside, content),
            _mode(aside, mode.op == "executable"),
            Step("link", file.path, target),
        ],
    )
