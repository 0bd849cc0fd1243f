"""From an answer to the files that it writes into a project.

Where the task allows one file, by its path, the answer's program is that file.  Else every file is
a block of its own, whole, with its path behind the tag: "```python package/module.py"; or several
files are changed by a block "```diff" with a unified diff.  Other blocks without a path are talk.
An answer that would write one file that it may not write is refused whole: nothing of it runs.
"""

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from proofloop.core.patch import PatchError, apply_patch, read_patch
from proofloop.core.project import InlineTree, ProjectTests, file_block
from proofloop.core.verdict import ScoredCause
from proofloop.verify.extract import fenced_blocks, labelled_blocks, program_text
from proofloop.verify.projects.tree import handed_out

_NEVER = frozenset(
    (
        "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini",
        "setup.cfg", "pyproject.toml", "sitecustomize.py", "usercustomize.py", "__pycache__",
    )
)  # fmt: skip
"""Names that steer pytest or the interpreter, wherever they stand in a path."""
_NEVER_SUFFIXES = (".pyc", ".pyo", ".pth", ".so", ".pyd", ".egg-link")
_MAX_PATH = 200
_DIFF_TAGS = ("diff", "patch")


class Refusal(NamedTuple):
    cause: ScoredCause
    detail: str


def submission_of(answer: str, tests: ProjectTests) -> dict[str, bytes] | Refusal:
    """Path to content; or why the answer earns nothing."""
    single = _single(tests)
    diffs = [block.text for block in fenced_blocks(answer)
             if block.tag in _DIFF_TAGS and not block.label]  # fmt: skip
    if single is not None and not labelled_blocks(answer) and not diffs:
        files = {single: program_text(answer, tests.names)}
    else:
        patched = _patched("\n".join(diffs), tests) if diffs else dict[str, str]()
        if isinstance(patched, Refusal):
            return patched
        files = patched
        for path, text in labelled_blocks(answer):
            if path in files:
                return Refusal(ScoredCause.CONFLICTING_ANSWERS, "the same file twice")
            files[path] = text
    if not any(text.strip() for text in files.values()):
        return Refusal(ScoredCause.NO_ANSWER, "no file with anything in it")
    for path in files:
        problem = _problem(path, tests)
        if problem:
            return Refusal(ScoredCause.FORBIDDEN_FILE, f"{path[:_MAX_PATH]!r}: {problem}")
    return {path: _encoded(text) for path, text in files.items()}


def _encoded(text: str) -> bytes:
    """Bytes of the project that are no UTF-8 come back as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _patched(diff: str, tests: ProjectTests) -> dict[str, str] | Refusal:
    """What a diff makes of the files that it may change."""
    try:
        for file in read_patch(diff):
            if problem := _problem(file.path, tests):
                return Refusal(ScoredCause.FORBIDDEN_FILE, f"{file.path[:_MAX_PATH]!r}: {problem}")
            if file.is_deleted:
                detail = f"{file.path[:_MAX_PATH]!r}: deleted, which no answer may"
                return Refusal(ScoredCause.FORBIDDEN_FILE, detail)
        done = apply_patch(diff, partial(_text_of, tests))
    except PatchError as error:
        return Refusal(ScoredCause.INVALID_PROGRAM, f"the diff cannot be applied: {error}"[:300])
    return {path: text for path, text in done.items() if text is not None}


def _text_of(tests: ProjectTests, path: str) -> str | None:
    content = handed_out(tests, path)
    return None if content is None else content.decode("utf-8", "surrogateescape")


def unchanged(tests: ProjectTests) -> str | None:
    """The project as it stands, as an answer: its own files of those that an answer may write.
    None where it has none."""
    if tests.changed:
        files = {file.path: file.content for file in tests.changed}
    elif isinstance(tests.tree, InlineTree):
        files = {file.path: file.content for file in tests.tree.files}
    else:
        root = Path(tests.tree.folder)
        paths = [path for path in tests.allowed if "*" not in path and (root / path).is_file()]
        files = {path: (root / path).read_bytes() for path in paths}
    own = {path: content for path, content in files.items() if not _problem(path, tests)}
    return written(own, tests) if any(content.strip() for content in own.values()) else None


def written(files: Mapping[str, bytes], tests: ProjectTests) -> str:
    """An answer that writes these files: what `submission_of` reads from it."""
    texts = {path: content.decode(errors="replace") for path, content in files.items()}
    single = _single(tests)
    if single is not None and list(texts) == [single] and "```" not in texts[single]:
        return texts[single]
    return "\n".join(file_block(path, text) for path, text in texts.items())


def _single(tests: ProjectTests) -> str | None:
    only = tests.allowed[0] if len(tests.allowed) == 1 else ""
    return only if only and "*" not in only else None


def _problem(path: str, tests: ProjectTests) -> str:
    """Why an answer may not write here; empty where it may."""
    parts = path.split("/")
    if len(path) > _MAX_PATH or not path.isprintable() or "\\" in path:
        return "no plain path"
    if any(part in ("", ".", "..") for part in parts) or any(part[0] == "." for part in parts):
        return "no plain path within the project"
    if _NEVER.intersection(part.lower() for part in parts) or path.endswith(_NEVER_SUFFIXES):
        return "it steers the tests or the interpreter"
    if path == tests.config or any(
        path == module.path for module in (*tests.modules, *tests.helpers)
    ):
        return "it belongs to the tests"
    if not any(_pattern(allowed).fullmatch(path) for allowed in tests.allowed):
        return "not among the files that an answer may write"
    return ""


@lru_cache(maxsize=1024)
def _pattern(allowed: str) -> re.Pattern[str]:
    """`**` as a whole part: any number of parts; `*`: anything within one."""
    text = ""
    parts = allowed.split("/")
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part == "**":
            text += r".+" if last else r"(?:[^/]+/)*"
        else:
            text += r"[^/]*".join(map(re.escape, part.split("*"))) + ("" if last else "/")
    return re.compile(text)
