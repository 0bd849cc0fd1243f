"""What is asked (Task), what only the verifier may see (AnswerKey), and where both come from.

A task's id is its address in its environment and a hash of its content, `address@hash`, so that a
changed generator or data file can never pass for the old one.  The key is a separate object: no
engine, agent or candidate process is ever handed one.
"""

from enum import StrEnum
from typing import Literal, NewType, Protocol, runtime_checkable

from proofloop.core.file_tree import FileTree
from proofloop.core.language import PYTHON, Language
from proofloop.core.project import HandedOut, ProjectTests
from proofloop.core.record import Record

TaskId = NewType("TaskId", str)


class Split(StrEnum):
    """Which tasks: splits are disjoint by what the programs do, not only by their text."""

    TRAIN = "train"
    HELDOUT = "heldout"


class Message(Record):
    """One message of a conversation, before a template turns it into tokens."""

    role: Literal["system", "user", "assistant"]
    content: str


class Stratum(Record):
    """A cell of an environment's dials; tasks within one are exchangeable."""

    family: str
    complexity: int
    """Number (and kind) of operations one function composes; 0 where the data has no such dial."""
    horizon: int
    """Number of functions to write in one answer."""

    @property
    def label(self) -> str:
        return f"{self.family}-c{self.complexity}-h{self.horizon}"


class Task(Record):
    """What the policy sees, and the dials that describe it."""

    id: TaskId
    env: str
    split: Split
    stratum: Stratum
    messages: tuple[Message, ...]
    answer_prefix: str = ""
    """Program text that an answer may continue (completion-style data sets such as HumanEval)."""


class Returns(Record, tag="returns"):
    """The call must return this value (`core.value` bytes), as the tests' comparison has it."""

    value: bytes


class Raises(Record, tag="raises"):
    """The call must raise an exception of exactly this type, by its own name."""

    exception: str


class Keeps(Record, tag="keeps"):
    """The call must return; what it returned stays in the candidate's process, where later calls
    reach its methods as `name.method`.  Nothing of it is seen or compared."""

    name: str


class TestCall(Record):
    """One hidden test: a call, and what it must do."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    function: str
    """A function or class of the program, or `name.method` of something that was kept."""
    args: bytes
    """A tuple of positional arguments (`core.value` bytes)."""
    wanted: Returns | Raises | Keeps


class Exact(Record, tag="exact"):
    """The same value: type, order, float bits."""


class Close(Record, tag="close"):
    """The same value, but for floats anywhere in it: a float or an int within
    max(abs_tol, rel_tol * |wanted|) will do."""

    rel_tol: float = 1e-9
    abs_tol: float = 0.0


class AnyOrder(Record, tag="any_order"):
    """A list or tuple of the same items, each as often, in any order."""


class SameItems(Record, tag="same_items"):
    """A list, tuple, set or frozenset of the same items, in any order and number."""


Comparison = Exact | Close | AnyOrder | SameItems


class CallTests(Record, tag="call_tests"):
    """Passes when every call does what is wanted of it."""

    calls: tuple[TestCall, ...]
    comparison: Comparison = Exact()
    process_per_call: bool = False
    """Strict mode: a new process for every call, so that nothing passes from one to the next."""
    shown: tuple[TestCall, ...] = ()
    """What the prompt shows, as tests: made after `calls`, counted in the verdict's parts for the
    visible–hidden gap.  They decide nothing (but what they print counts as output)."""


class CheckProgram(Record, tag="check_program"):
    """Tests that are code: `check(candidate)` runs apart from the candidate, against a proxy."""

    setup: str
    """Source executed before `check`: helpers that the tests may call (never the solution)."""
    check: str
    """Source that defines `check(candidate)`; returning means passed, raising means failed."""
    entry_point: str


class OutputTest(Record):
    """One hidden test of a whole program."""

    stdin: bytes
    stdout: bytes


class Stages(Record):
    """What the stages that a program reaches are worth.  Weights that add up to 1; all of it for
    passing unless said otherwise."""

    compiles: float = 0.0
    runs: float = 0.0
    """It ends by itself with status 0 on every test, whatever it prints."""
    passes: float = 1.0

    def __post_init__(self) -> None:
        weights = (self.compiles, self.runs, self.passes)
        if min(weights) < 0 or not self.passes > 0 or abs(sum(weights) - 1) > 1e-9:
            raise ValueError(
                "the weights of compiles, runs and passes must not be negative and add up to 1, "
                "with something left for passes"
            )


class ProgramTests(Record, tag="program_tests"):
    """Passes when the program prints what is wanted for every input, line by line."""

    tests: tuple[OutputTest, ...]
    language: Language = PYTHON
    stages: Stages = Stages()
    float_tol: float | None = None
    """How far a decimal fraction in the output may be off, absolutely or relatively."""


class AnswerKind(StrEnum):
    """What a final answer to a mathematical problem is."""

    INTEGER = "integer"
    RATIONAL = "rational"
    """One numeral: integer, fraction, mixed number, decimal, percentage."""
    REAL = "real"
    EXPRESSION = "expression"
    EQUATION = "equation"
    """Or an inequality."""
    SET = "set"
    INTERVAL = "interval"
    """Or a union of intervals."""
    TUPLE = "tuple"
    MATRIX = "matrix"
    CHOICE = "choice"
    QUANTITY = "quantity"
    """A number with a unit of measure, or with the base it is written in."""
    TEXT = "text"


class MathAnswer(Record, tag="math_answer"):
    """Passes when the one final answer equals the gold answer, as values of its type."""

    gold: str
    """LaTeX or plain text, without a container such as `\\boxed`."""
    kind: AnswerKind | None = None
    """As the data set declares it; None: what the form of `gold` says."""
    tolerance: float | None = None
    """How far a number may be off; None: not at all."""
    unknown: str = ""
    """The letter that the problem asks for: an answer may then say `x = 5` for 5."""


class Place(StrEnum):
    """Where in an answer, outside of its reasoning part, the text that is judged stands."""

    WHOLE = "whole"
    """All of it, without blanks around it."""
    BLOCK = "block"
    """The one fenced block; all of it where there is none."""
    FINAL = "final"
    """The one final answer: `\\boxed{…}`, `#### …`, "the answer is …", or one line."""


class TextAnswer(Record, tag="text_answer"):
    """Passes when the text is the gold text, character by character after NFC normalisation."""

    gold: str
    place: Place = Place.FINAL
    ignore_case: bool = False


class Option(Record):
    label: str
    text: str


class ChoiceAnswer(Record, tag="choice_answer"):
    """Passes when the answer names the gold options, all of them and no other, by label or text."""

    options: tuple[Option, ...]
    gold: tuple[str, ...]
    """Labels, in any order."""
    place: Place = Place.FINAL


class JsonAnswer(Record, tag="json_answer"):
    """Passes when the answer is one strict JSON text that fits the schema, equals the wanted value,
    or both, as the key has them.  1, 1.0 and true are three values; objects have no order."""

    wanted: str = ""
    """JSON text; empty: any value that fits the schema."""
    schema: str = ""
    """JSON Schema as JSON text, of the keywords that `core.json_schema` knows; empty: none."""
    place: Place = Place.BLOCK
    integral_floats: bool = False
    """1.0 is 1."""
    any_order: bool = False
    """Arrays, at any depth, have no order (but each item as often)."""
    close: Close | None = None
    """How far wanted floats may be off; not together with `any_order`."""


class SqlRows(Record):
    """What a query must give: rows of exactly these SQLite values."""

    rows: bytes
    """A list of tuples (`core.value` bytes) of None, int, float, str, bytes."""
    columns: tuple[str, ...] = ()
    """The columns' names; none: only their number counts."""
    ordered: bool = False
    """Without it, rows are a multiset."""
    close: Close | None = None
    """How far wanted floats may be off."""


class SqlInstance(Record):
    """One hidden database for a query, and what the query must give on it."""

    setup: str
    """SQL script that makes the database from nothing."""
    wanted: SqlRows


class SqlQuery(Record, tag="sql_query"):
    """Passes when the answer is one read-only SQLite query that gives the wanted rows on every
    hidden database; several of them refute constants."""

    instances: tuple[SqlInstance, ...]
    place: Place = Place.BLOCK


class SqlCheck(Record):
    """A query of ours on the end state, and what it must give."""

    query: str
    wanted: SqlRows


class SqlStateInstance(Record):
    setup: str
    checks: tuple[SqlCheck, ...]


class SqlState(Record, tag="sql_state"):
    """Passes when the answer is an SQLite script after which every check gives the wanted rows."""

    instances: tuple[SqlStateInstance, ...]
    place: Place = Place.BLOCK


SingleTests = (
    CallTests
    | CheckProgram
    | ProgramTests
    | FileTree
    | MathAnswer
    | TextAnswer
    | ChoiceAnswer
    | JsonAnswer
    | SqlQuery
    | SqlState
    | ProjectTests
)


class Part(Record):
    """One part of composed tests."""

    name: str
    """An identifier; names the part in the verdict."""
    tests: SingleTests
    weight: float = 1.0
    """In the mean of rewards.  Gates have none."""
    gate: bool = False
    """Where it does not pass, the whole reward is 0."""
    section: str = ""
    """Judge only what stands between `<section>` and `</section>`; empty: the whole answer."""


class Composite(Record, tag="composite"):
    """Passes when all parts pass; partial credit is the weighted mean of the parts' rewards."""

    parts: tuple[Part, ...]


Tests = SingleTests | Composite


class AnswerKey(Record):
    """What only the verifier may see."""

    task_id: TaskId
    tests: Tests
    decoys: bytes = b""
    """A list of wrong results (`core.value` bytes) to plant where a leak would find them; a claim
    that holds one is the mark of a program that looks for answers.  Empty: none are planted."""


class Problem(Record):
    """A task with its key and its oracle, as an environment yields it to the trusted side."""

    task: Task
    key: AnswerKey
    oracle: str | None
    """An answer that must earn reward 1; None where the data hold none."""


class Environment(Protocol):
    """A source of problems: a pure function of (split, stratum, index)."""

    @property
    def name(self) -> str: ...

    def strata(self, split: Split) -> tuple[Stratum, ...]:
        """The cells that this environment, as configured, draws from."""
        ...

    def num_tasks(self, split: Split, stratum: Stratum) -> int | None:
        """How many problems the cell holds; None where the generator does not run out."""
        ...

    def problem(self, split: Split, stratum: Stratum, index: int) -> Problem: ...

    def find(self, task_id: str) -> Problem:
        """The problem with this id; raises UserError where there is none or its content changed."""
        ...


@runtime_checkable
class HandsOutProjects(Protocol):
    """An environment whose tasks can be worked on in a workspace: their keys are `ProjectTests`."""

    def handed_out(self, split: Split, stratum: Stratum, index: int) -> HandedOut:
        """As `Environment.problem`, for who changes files instead of writing an answer."""
        ...


@runtime_checkable
class SetsImpossibleTasks(Protocol):
    """An environment that can put an impossible task into words: its prompt contradicts itself."""

    def impossible(self, split: Split, stratum: Stratum, index: int) -> Problem:
        """Looks like the cell's other problems.  Its oracle does what most of the prompt says."""
        ...
