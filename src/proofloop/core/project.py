"""The key of a task whose tests are a project's own: its files, its tests, who may write what."""

from proofloop.core.record import Record
from proofloop.core.sandbox import Limits


class TreeFile(Record):
    """A file of a project."""

    path: str
    """From the project's root, with `/`."""
    content: bytes


class InlineTree(Record, tag="inline_tree"):
    """A small project, whole."""

    files: tuple[TreeFile, ...]


class FolderTree(Record, tag="folder_tree"):
    """A project in a folder of this machine, which many tasks may share."""

    folder: str
    digest: str
    """Of all that is in it (`verify.projects.tree.digest_of`): a folder that changed is refused."""


class HandedOut(Record):
    """A project's task as an agent gets it in a workspace, beside the tree of its key."""

    statement: str
    visible: tuple[TreeFile, ...] = ()
    """Test modules that it may read and run.  None of them holds a hidden test."""


class PlannedTest(Record):
    """One test of a suite."""

    node_id: str
    """As pytest names it, with the file's path from the project's root."""
    must_pass: bool = True
    """Otherwise it must be reported, whatever comes of it."""
    has_twins: bool = True
    """Whether a perturbed copy of it must fail; False where one was seen to pass on the oracle."""
    is_run: bool = True
    """Otherwise it is only there: its module holds it, and the task has no use for it."""
    was_failing: bool = False
    """Whether it fails on the project as the task hands it out."""


SUITE_LIMITS = Limits(
    wall_s=40.0,
    cpu_s=10,
    memory_bytes=1 << 30,
    num_open_files=64,
    result_bytes=1 << 20,
    output_bytes=1 << 20,
)
"""A suite's, in one process; `num_processes` 1: its tests may neither fork nor start threads."""


class ProjectTests(Record, tag="project_tests"):
    """Passes when a project's own tests, which import the answer's files, pass in a copy of it.

    The tests share an interpreter with the answer: the verdict's integrity is weak, and says so.
    """

    tree: InlineTree | FolderTree
    """The project without its test modules, and without whatever tells the solution."""
    allowed: tuple[str, ...]
    """What an answer may write: paths, in which `*` stands for anything within a part of a path and
    a part `**` for any number of parts."""
    modules: tuple[TreeFile, ...]
    """The test modules.  They never lie in the tree: only the process of a run is given them."""
    planned: tuple[PlannedTest, ...]
    """All tests of the modules, in the order in which pytest runs them."""
    changed: tuple[TreeFile, ...] = ()
    """Files of the tree as the task hands them out, where they differ from the tree's own: so that
    one tree serves many tasks, each a difference."""
    names: tuple[str, ...] = ()
    """Where one file is allowed: what it must define, which tells its block from other blocks."""
    import_paths: tuple[str, ...] = (".",)
    """Folders of the project from which its modules are imported, after the standard library."""
    plugins: tuple[str, ...] = ()
    """Plugins of pytest, by the names of installed modules; no others are loaded."""
    config: str = ""
    """The project's own configuration of pytest, if it has any that the tests need."""
    python: str = ""
    """The interpreter, which has pytest; the one that runs us, if empty."""
    limits: Limits = SUITE_LIMITS
    """Of one run of the suite; a run that computes all the while may take longer than `wall_s`."""
    process_per_test: bool = False
    """Strict mode: a new process for every test, so that nothing passes from one to the next."""
    may_write: bool = False
    """Whether the tests need a folder for temporary files."""
    preload: tuple[str, ...] = ()
    """Modules of the environment that the tests import, to be imported once for all runs."""
    compiled: tuple[str, ...] = ()
    """Files of the tree that the tests import, to be compiled once for all runs."""
    helpers: tuple[TreeFile, ...] = ()
    """Test modules that the modules import, given in the same way."""


def file_block(path: str, text: str) -> str:
    """A file as an answer writes it: a fenced block with its path, the fence longer than any in the
    text."""
    longest = max((len(line) - len(line.lstrip("`")) for line in text.split("\n")), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}python {path}\n{text.rstrip()}\n{fence}\n"
