"""Keys of file trees that cannot be checked against, and what counts as a difference."""

import pytest

from proofloop.core.file_tree import FileTree, TreeFile, TreeFolder
from proofloop.core.sandbox import Entry
from proofloop.verify.files import differences

A = TreeFile(path="a", content=b"1")


def tree(*wanted: TreeFile | TreeFolder, **more: object) -> FileTree:
    return FileTree(**{"given": (), "wanted": wanted, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tests", "fault"),
    [
        (tree(), "wants no file, no folder"),
        (tree(A, A), "a path twice"),
        (tree(A, given=(A, A)), "a path twice"),
        (tree(TreeFile(path="/etc/x", content=b"")), "no plain path"),
        (tree(TreeFile(path="../x", content=b"")), "no plain path"),
        (tree(TreeFile(path="x//y", content=b"")), "no plain path"),
        (tree(TreeFolder(path="x/")), "no plain path"),
        (tree(TreeFolder(path="")), "no plain path"),
        (tree(A, absent=("./b",)), "no plain path"),
        (tree(A, TreeFile(path="a/b", content=b"")), "a file where it also has a folder"),
        (tree(A, given=(A, TreeFile(path="a/b", content=b""))), "where it also has a folder"),
        (tree(A, absent=("a",)), "wants a path and wants it absent"),
        (tree(TreeFile(path="x/y", content=b""), absent=("x",)), "and wants it absent"),
        (tree(A, given=(A,)), "satisfied by the given files"),
        (tree(absent=("b",)), "satisfied by the given files"),
    ],
)
def test_a_key_that_cannot_be_checked_against(tests: FileTree, fault: str) -> None:
    assert fault in (tests.fault() or "")


@pytest.mark.parametrize(
    "tests",
    [
        tree(A),
        tree(A, given=(TreeFile(path="a", content=b"2"),)),
        tree(A, given=(A, TreeFile(path="b", content=b""))),
        tree(absent=("b",), given=(TreeFile(path="b", content=b""),), allows_surplus=True),
        tree(TreeFolder(path="a")),
        tree(TreeFile(path="a/b", content=b""), given=(A,)),
    ],
)
def test_a_key_that_something_is_left_to_do_for(tests: FileTree) -> None:
    assert tests.fault() is None


def entry(path: str, kind: str = "file", size: int = 1, executable: bool = False) -> Entry:
    return Entry(path=path, kind=kind, size_bytes=size, is_executable=executable)  # type: ignore[arg-type]


def test_what_is_not_read_cannot_be_as_wanted() -> None:
    def read(path: str, most: int) -> bytes | None:
        return {"a": b"1"}.get(path)

    assert differences(tree(A), {"a": entry("a")}, read) == []
    assert differences(tree(A), {"a": entry("a", size=2)}, read) != []
    assert differences(tree(A), {"a": entry("a", kind="link")}, read) == ["not a file, but a link"]
    gone = TreeFile(path="b", content=b"1")
    assert differences(tree(gone), {"b": entry("b")}, read) != []


def test_no_line_holds_what_is_wanted() -> None:
    secret = TreeFile(path="secret-name", content=b"secret-content")
    wrong = [
        {},
        {"x": entry("x")},
        {"secret-name": entry("secret-name", size=14)},
        {"secret-name": entry("secret-name", size=3)},
    ]
    for found in wrong:
        lines = differences(tree(secret), found, lambda path, most: b"?" * 14)
        assert lines
        assert "secret" not in "".join(lines)
