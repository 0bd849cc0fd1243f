"""The fields of a data row that make the key of one structured answer: text, choice, JSON, SQL.

`docs/structured-answers.md` has the table.  The oracle is made from the key where that says one;
for SQL, and for a schema without an answer, the row must give a `solution`.
"""

import json
from typing import Any

import msgspec

from proofloop.core import value
from proofloop.core.json_schema_fault import fault
from proofloop.core.strict_json import NotJson, parse
from proofloop.core.task import (
    ChoiceAnswer,
    Close,
    JsonAnswer,
    Option,
    Place,
    SingleTests,
    SqlCheck,
    SqlInstance,
    SqlQuery,
    SqlRows,
    SqlState,
    SqlStateInstance,
    TextAnswer,
)
from proofloop.envs.data_file import DataRow

KINDS = ("text", "choice", "json", "sql_query", "sql_state")
MAX_ROWS_BYTES = 1 << 19
"""As much as the verifier compares."""
_FINAL = "Put the final answer, and nothing else, in \\boxed{}."
_LABEL = "Put the label of the right option in {}; of several, all of them."
_INSTRUCTIONS: dict[str, dict[Place, str]] = {
    "text": {
        Place.FINAL: _FINAL,
        Place.BLOCK: "Put the answer, and nothing else, in a fenced block.",
        Place.WHOLE: "Answer with the text alone.",
    },
    "choice": {
        Place.FINAL: _LABEL.format("\\boxed{}"),
        Place.BLOCK: _LABEL.format("a fenced block"),
        Place.WHOLE: "Answer with the label of the right option alone; of several, all of them.",
    },
    "json": {
        Place.FINAL: "Put the answer, one JSON text, in \\boxed{}.",
        Place.BLOCK: "Answer with one JSON text in a fenced block.",
        Place.WHOLE: "Answer with one JSON text alone.",
    },
}
for _kind, _what in (("sql_query", "query"), ("sql_state", "script")):
    _INSTRUCTIONS[_kind] = {
        Place.FINAL: f"Put one SQLite {_what} in \\boxed{{}}.",
        Place.BLOCK: f"Answer with one SQLite {_what} in a fenced block.",
        Place.WHOLE: f"Answer with one SQLite {_what} alone.",
    }


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    query: str
    rows: list[list[Any]]


class Database(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    setup: str
    rows: list[list[Any]] | None = None
    checks: list[Check] = msgspec.field(default_factory=list[Check])


class AnswerRow(DataRow, frozen=True, kw_only=True):
    """What one kind of answer needs; the fields of other kinds are let be."""

    kind: str
    answer: Any = msgspec.UNSET
    solution: str = ""
    place: Place | None = None
    ignore_case: bool = False
    options: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    schema: Any = msgspec.UNSET
    any_order: bool = False
    integral_floats: bool = False
    databases: list[Database] = msgspec.field(default_factory=list[Database])
    columns: list[str] = msgspec.field(default_factory=list[str])
    ordered: bool = False
    rel_tol: float = 0.0
    abs_tol: float = 0.0

    def fault(self) -> str | None:
        if self.kind not in KINDS:
            return f"kind {self.kind!r} is none of {', '.join(KINDS)}"
        if self.rel_tol < 0 or self.abs_tol < 0:
            return "a tolerance is below 0"
        problem = {
            "text": self._fault_of_text,
            "choice": self._fault_of_choice,
            "json": self._fault_of_json,
            "sql_query": self._fault_of_sql,
            "sql_state": self._fault_of_sql,
        }[self.kind]()
        if problem is None and self._place is Place.FINAL and not _fits_a_box(self._gold()):
            return f"{self.kind}: the answer does not fit \\boxed{{}}; give place, block or whole"
        return problem

    def _fault_of_text(self) -> str | None:
        if not isinstance(self.answer, str) or not self.answer.strip():
            return "text: answer must be a text that is not blank"
        if self._place is Place.BLOCK and "```" in self.answer:
            return "text: answer holds a fence; give place, whole"
        return None

    def _fault_of_choice(self) -> str | None:
        if len(self.options) < 2:
            return "choice: options must name two or more, as an object of label to text"
        folded = {label.casefold() for label in self.options}
        if len(folded) < len(self.options) or not all(map(str.isalnum, folded)):
            return "choice: labels must be of letters or digits, and differ in more than case"
        wrong = [label for label in self._labels if label not in self.options]
        if not self._labels or wrong or len(set(self._labels)) < len(self._labels):
            return f"choice: answer must be labels of options, each once ({self.answer!r} is not)"
        return None

    def _fault_of_json(self) -> str | None:
        if self.answer is msgspec.UNSET and self.schema is msgspec.UNSET:
            return "json: neither answer nor schema"
        if self.answer is msgspec.UNSET and not self.solution:
            return "json: a schema without an answer needs a solution to be validated by"
        if self.schema is not msgspec.UNSET and (problem := fault(self.schema)):
            return f"json: schema: {problem}"
        try:
            parse(_json_text(self.answer) or "null")
        except NotJson as error:
            return f"json: answer: {error}"
        if self.any_order and self._close is not None:
            return "json: any_order and a tolerance exclude each other"
        return None

    def _fault_of_sql(self) -> str | None:
        if not self.databases:
            return f"{self.kind}: databases is empty"
        if not self.solution.strip():
            return f"{self.kind}: no solution, which every task needs to be validated by"
        for number, database in enumerate(self.databases, 1):
            is_query = self.kind == "sql_query"
            if is_query == (database.rows is None) or is_query == bool(database.checks):
                needed = "rows and no checks" if is_query else "checks and no rows"
                return f"{self.kind}: database {number} must have {needed}"
            for rows in [database.rows or [], *(check.rows for check in database.checks)]:
                if any(isinstance(x, bool | list | dict) for row in rows for x in row):
                    return f"{self.kind}: database {number}: rows hold null, numbers and texts"
                try:
                    value.encode([tuple(row) for row in rows], max_bytes=MAX_ROWS_BYTES)
                except value.EncodeError as error:
                    return f"{self.kind}: database {number}: rows {error} of {MAX_ROWS_BYTES} bytes"
                widths = {len(row) for row in rows} | ({len(self.columns)} - {0})
                if len(widths) > 1:
                    return f"{self.kind}: database {number}: rows (or columns) of several widths"
        if self.kind == "sql_query" and not any(database.rows for database in self.databases):
            return "sql_query: no database has rows to give: any empty result would pass"
        return None

    @property
    def _place(self) -> Place:
        if self.place is not None:
            return self.place
        return Place.FINAL if self.kind in ("text", "choice") else Place.BLOCK

    @property
    def _labels(self) -> list[str]:
        labels: list[Any] = self.answer if isinstance(self.answer, list) else [self.answer]
        return [label if isinstance(label, str) else repr(label) for label in labels]

    @property
    def _close(self) -> Close | None:
        if self.rel_tol or self.abs_tol:
            return Close(rel_tol=self.rel_tol, abs_tol=self.abs_tol)
        return None

    def says(self) -> str:
        """What the prompt must say of it: options, schema, and where the answer stands."""
        paragraphs: list[str] = []
        if self.kind == "choice":
            paragraphs.append("\n".join(f"({k}) {text}" for k, text in self.options.items()))
        if self.kind == "json" and self.schema is not msgspec.UNSET:
            paragraphs.append(f"It must fit this JSON Schema:\n{_json_text(self.schema)}")
        paragraphs.append(_INSTRUCTIONS[self.kind][self._place])
        return "\n\n".join(paragraphs)

    def tests(self) -> SingleTests:
        match self.kind:
            case "text":
                return TextAnswer(
                    gold=self.answer.strip(), place=self._place, ignore_case=self.ignore_case
                )
            case "choice":
                options = tuple(Option(label=k, text=v) for k, v in self.options.items())
                return ChoiceAnswer(options=options, gold=tuple(self._labels), place=self._place)
            case "json":
                return JsonAnswer(
                    wanted=_json_text(self.answer),
                    schema=_json_text(self.schema),
                    place=self._place,
                    integral_floats=self.integral_floats,
                    any_order=self.any_order,
                    close=self._close,
                )
            case "sql_query":
                return SqlQuery(
                    instances=tuple(
                        SqlInstance(setup=d.setup, wanted=self._rows(d.rows or []))
                        for d in self.databases
                    ),
                    place=self._place,
                )
            case _:
                return SqlState(
                    instances=tuple(
                        SqlStateInstance(
                            setup=d.setup,
                            checks=tuple(
                                SqlCheck(query=c.query, wanted=self._rows(c.rows)) for c in d.checks
                            ),
                        )
                        for d in self.databases
                    ),
                    place=self._place,
                )

    def _rows(self, rows: list[list[Any]]) -> SqlRows:
        return SqlRows(
            rows=value.encode([tuple(row) for row in rows]),
            columns=tuple(self.columns),
            ordered=self.ordered,
            close=self._close,
        )

    def _gold(self) -> str:
        """What the key wants, without its place; or the solution, which has its own."""
        if self.solution:
            return ""
        if self.kind == "text":
            return self.answer.strip()
        return ", ".join(self._labels) if self.kind == "choice" else _json_text(self.answer)

    def oracle(self) -> str:
        if self.solution:
            return self.solution
        if self._place is Place.FINAL:
            return f"\\boxed{{{self._gold()}}}"
        return f"```\n{self._gold()}\n```" if self._place is Place.BLOCK else self._gold()


def _json_text(content: Any) -> str:
    return "" if content is msgspec.UNSET else json.dumps(content, ensure_ascii=False)


def _fits_a_box(text: str) -> bool:
    """Short, with its braces in pairs, as the reader of boxes counts them."""
    depth = 0
    for before, char in zip(" " + text, text, strict=False):
        if char in "{}" and before != "\\":
            depth += 1 if char == "{" else -1
        if depth < 0:
            return False
    return depth == 0 and len(text) <= 1000 and "\\boxed" not in text
