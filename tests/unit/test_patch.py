"""Diffs: what is written is read and applied, and nothing is applied to text that differs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofloop.core.patch import PatchError, apply_patch, inverted, read_patch, unified

LINES = st.lists(
    st.sampled_from(["a", "b", "  c", "", "@@ -1 +1 @@", "--- x", "\f d\r"]), max_size=9
)
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_a_diff_makes_the_one_text_of_the_other(old: str, new: str, context: int) -> None:
    diff = unified({"d/f.py": old}, {"d/f.py": new}, context=context)
    if old == new:
        assert diff == ""
    else:
        assert apply_patch(diff, {"d/f.py": old}.get) == {"d/f.py": new}


@given(TEXTS, TEXTS, st.integers(0, 3))
def test_an_inverted_diff_goes_back(old: str, new: str, context: int) -> None:
    diff = unified({"a.py": old}, {"a.py": new}, context=context)
    if old != new:
        assert apply_patch(inverted(diff), {"a.py": new}.get) == {"a.py": old}
        assert read_patch(inverted(inverted(diff))) == read_patch(diff)


def test_files_are_made_and_deleted() -> None:
    diff = unified({"a": "x\n", "b": "y\n"}, {"a": "x\nz\n", "c": "w\n"})
    assert apply_patch(diff, {"a": "x\n", "b": "y\n"}.get) == {"a": "x\nz\n", "b": None, "c": "w\n"}
    assert [(f.path, f.is_new, f.is_deleted) for f in read_patch(diff)] == [
        ("a", False, False),
        ("b", False, True),
        ("c", True, False),
    ]


DIFF = "--- a/f\n+++ b/f\n@@ -2,2 +2,2 @@\n b\n-c\n+C\n"


def test_a_hunk_that_has_moved_applies_at_the_one_place_that_has_its_text() -> None:
    assert apply_patch(DIFF, {"f": "0\n1\na\nb\nc\n"}.get) == {"f": "0\n1\na\nb\nC\n"}


@pytest.mark.parametrize(
    ("diff", "files", "told"),
    [
        (DIFF, {"f": "a\nb\nx\n"}, "line 2 does not apply"),
        (DIFF, {"f": "x\nx\nb\nc\nb\nc\n"}, "does not apply"),
        (DIFF, {}, "no such file"),
        ("no diff", {"f": ""}, "no file in the diff"),
        ("--- a/f\n+++ b/f\n", {"f": ""}, "no hunks"),
        ("--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n a\n", {"f": "a\n"}, "ends early"),
        ("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+a\n", {"f": "b\n"}, "is there already"),
    ],
)
def test_what_does_not_fit_is_refused(diff: str, files: dict[str, str], told: str) -> None:
    with pytest.raises(PatchError, match=told):
        apply_patch(diff, files.get)
