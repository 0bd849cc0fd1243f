"""What `proofloop mine` is asked to do."""

from enum import StrEnum

from proofloop.core.record import Record


class Kind(StrEnum):
    """How a task is made."""

    BUG = "bug"
    """A small error is put in."""
    BODY = "body"
    """The body of a function is taken out."""
    COMMIT = "commit"
    """What a commit did to the sources is undone; where there is history."""
    ROW = "row"
    """What the patch of a given row of SWE-bench did is undone."""


class Format(StrEnum):
    HARBOR = "harbor"
    """A directory a task, schema 1.4."""
    SWEBENCH = "swebench"
    """One file of rows, besides."""
    PACKED = "packed"
    """One compressed file of such rows in place of the directories."""


class MineConfig(Record):
    max_tasks: int = 1000
    """Tasks to admit, over all horizons; fewer where the repository has no more to give."""
    horizon: tuple[int, ...] | int = (1,)
    """Numbers of single changes that a task joins, in as many files where there are as many."""
    complexity: tuple[int, ...] | int = (1, 2, 3, 4)
    """Operator classes of `bug`: 1 constants, 2 operators, 3 conditions and returns, 4 removed
    statements, calls and arguments."""
    kinds: tuple[Kind, ...] = (Kind.BUG, Kind.BODY, Kind.COMMIT)
    """Ways to make a task: `bug`, `body`, `commit`."""
    rows: str | None = None
    """A file of SWE-bench rows of this repository, in a state that has their patches: tasks to make
    first, in their own words."""
    seed: int = 0
    """Of the order in which changes are tried and joined."""
    workers: int = 0
    """Sandboxes at once; 0: the cores."""
    tests: tuple[str, ...] = ()
    """Patterns of test modules to use, as `tests/unit/**`; none: all that are found."""
    leave_out: tuple[str, ...] = ()
    """Patterns of test modules to do without."""
    extra: tuple[str, ...] = ()
    """Requirements to install beside those that the project names."""
    max_tests: int = 400
    """Tests that one task may run; changes that more tests reach are dropped."""
    max_tests_s: float = 10.0
    """Seconds that these may take on the project as it is; a test that takes longer by itself is
    set aside as hanging."""
    max_module_s: float = 120.0
    """Seconds after which a test module that cannot be interrupted is left out as hanging."""
    max_failing: float = 0.2
    """Share of the tests that may fail or be flaky before anything is changed; these are set aside,
    and with more of them the repository is refused."""
    max_fail_share: float = 0.9
    """Share of the tests that reach a change of horizon 1 and may fail; a change that breaks more
    of at least five is dropped as too broad."""
    format: tuple[Format, ...] = (Format.HARBOR,)
    """What is written: `harbor`, `swebench`, `packed`."""
    endpoint: str | None = None
    """Base address of an OpenAI-compatible server that words the problem statements; none: a
    template does."""
    endpoint_model: str = ""
    """The name of its model."""


class MineRecipe(Record):
    mine: MineConfig = MineConfig()


def values(setting: tuple[int, ...] | int) -> tuple[int, ...]:
    return (setting,) if isinstance(setting, int) else setting
