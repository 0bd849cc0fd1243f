"""Rows of structured answers: which problems they become, and what is wrong with the others."""

import json
from pathlib import Path
from typing import Any

import pytest

from proofloop.core import value
from proofloop.core.errors import DataError
from proofloop.core.task import (
    ChoiceAnswer,
    Close,
    Composite,
    JsonAnswer,
    Option,
    Part,
    Place,
    Problem,
    Split,
    SqlCheck,
    SqlInstance,
    SqlQuery,
    SqlRows,
    SqlState,
    SqlStateInstance,
    TextAnswer,
)
from proofloop.envs.answers import AnswersEnvironment

TEXT: dict[str, Any] = {"prompt": "Where?", "kind": "text", "answer": " Paris "}
CHOICE: dict[str, Any] = {
    "prompt": "Which?",
    "kind": "choice",
    "options": {"A": "one", "B": "two"},
    "answer": "B",
}
JSON: dict[str, Any] = {"prompt": "Who?", "kind": "json", "answer": {"a": [1, 1.0]}}
QUERY: dict[str, Any] = {
    "prompt": "How many?",
    "kind": "sql_query",
    "databases": [{"setup": "CREATE TABLE t(x)", "rows": [[0, None, "a", 1.0]]}],
    "solution": "SELECT 0, NULL, 'a', 1.0",
}
STATE: dict[str, Any] = {
    "prompt": "Empty t.",
    "kind": "sql_state",
    "databases": [{"setup": "CREATE TABLE t(x)", "checks": [{"query": "SELECT 1", "rows": [[1]]}]}],
    "solution": "DELETE FROM t",
}


PART: dict[str, Any] = {"name": "word", "kind": "text", "answer": "x"}
PARTS: dict[str, Any] = {
    "prompt": "Both?",
    "parts": [PART | {"weight": 2}, {"name": "form", "gate": True, "kind": "json", "answer": 1}],
}


def read(tmp_path: Path, *rows: dict[str, Any]) -> list[Problem]:
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = AnswersEnvironment(path)
    (stratum,) = environment.strata(Split.HELDOUT)
    return [environment.problem(Split.HELDOUT, stratum, i) for i in range(len(rows))]


def test_rows_become_problems(tmp_path: Path) -> None:
    problems = read(tmp_path, TEXT, {**CHOICE, "task_id": "c"}, JSON, QUERY, STATE)
    rows = SqlRows(rows=value.encode([(0, None, "a", 1.0)]))
    check = SqlCheck(query="SELECT 1", wanted=SqlRows(rows=value.encode([(1,)])))
    setup = "CREATE TABLE t(x)"
    assert [problem.key.tests for problem in problems] == [
        TextAnswer(gold="Paris"),
        ChoiceAnswer(
            options=(Option(label="A", text="one"), Option(label="B", text="two")), gold=("B",)
        ),
        JsonAnswer(wanted='{"a": [1, 1.0]}'),
        SqlQuery(instances=(SqlInstance(setup=setup, wanted=rows),)),
        SqlState(instances=(SqlStateInstance(setup=setup, checks=(check,)),)),
    ]
    assert [problem.oracle for problem in problems] == [
        "\\boxed{Paris}",
        "\\boxed{B}",
        '```\n{"a": [1, 1.0]}\n```',
        QUERY["solution"],
        STATE["solution"],
    ]
    ids = [str(problem.task.id).partition("@")[0] for problem in problems]
    assert ids == ["answers/0", "answers/c", "answers/2", "answers/3", "answers/4"]


def test_prompts_say_what_is_asked_and_where_it_stands_but_not_what_it_is(tmp_path: Path) -> None:
    schema = {"type": "object", "maxProperties": 1}
    rows = (TEXT, CHOICE, {**JSON, "schema": schema}, QUERY, STATE)
    prompts = [problem.task.messages[0].content for problem in read(tmp_path, *rows)]
    assert [p.splitlines()[0] for p in prompts] == [row["prompt"] for row in rows]
    for prompt, said in zip(
        prompts,
        ("\\boxed{}", "(A) one\n(B) two\n", json.dumps(schema), "SQLite query", "SQLite script"),
        strict=True,
    ):
        assert said in prompt
        assert "\n\n\n" not in prompt
    assert "Paris" not in prompts[0]
    assert "1.0" not in prompts[2]
    for prompt in prompts[3:]:
        assert "CREATE TABLE" not in prompt


def test_what_a_row_may_declare(tmp_path: Path) -> None:
    text, whole, several, loose, near = read(
        tmp_path,
        {**TEXT, "place": "block", "ignore_case": True},
        {**TEXT, "answer": "```\nx\n```", "place": "whole"},
        {**CHOICE, "answer": ["B", "A"]},
        {**JSON, "any_order": True, "integral_floats": True},
        {**QUERY, "ordered": True, "columns": list("abcd"), "abs_tol": 0.1},
    )
    assert text.key.tests == TextAnswer(gold="Paris", place=Place.BLOCK, ignore_case=True)
    assert (text.oracle, whole.oracle) == ("```\nParis\n```", "```\nx\n```")
    assert isinstance(several.key.tests, ChoiceAnswer)
    assert (several.key.tests.gold, several.oracle) == (("B", "A"), "\\boxed{B, A}")
    assert loose.key.tests == JsonAnswer(
        wanted='{"a": [1, 1.0]}', any_order=True, integral_floats=True
    )
    assert isinstance(near.key.tests, SqlQuery)
    wanted = near.key.tests.instances[0].wanted
    assert (wanted.ordered, wanted.columns) == (True, ("a", "b", "c", "d"))
    assert wanted.close == Close(rel_tol=0.0, abs_tol=0.1)


def test_parts_become_a_composite_with_a_section_each(tmp_path: Path) -> None:
    (problem,) = read(tmp_path, PARTS)
    assert problem.key.tests == Composite(
        parts=(
            Part(name="word", tests=TextAnswer(gold="x"), weight=2.0, section="word"),
            Part(name="form", tests=JsonAnswer(wanted="1"), gate=True, section="form"),
        )
    )
    assert problem.oracle == "<word>\n\\boxed{x}\n</word>\n<form>\n```\n1\n```\n</form>"
    prompt = problem.task.messages[0].content
    assert "Between <word> and </word>: Put the final answer" in prompt
    assert "Between <form> and </form>: Answer with one JSON text" in prompt


def _database(**changes: Any) -> dict[str, Any]:
    return {"databases": [QUERY["databases"][0] | changes]}


@pytest.mark.parametrize(
    ("row", "change", "problem"),
    [
        (TEXT, {"prompt": " "}, "prompt is empty"),
        (TEXT, {"kind": "prose"}, "kind 'prose' is none of text, choice"),
        (TEXT, {"answer": ""}, "text: answer must be"),
        (TEXT, {"answer": 3}, "text: answer must be"),
        (TEXT, {"answer": "a }"}, "does not fit \\boxed{}"),
        (TEXT, {"answer": "x" * 1001}, "does not fit \\boxed{}"),
        (TEXT, {"answer": "```\nx\n```", "place": "block"}, "holds a fence"),
        (TEXT, {"place": "there"}, "Invalid enum value 'there'"),
        (CHOICE, {"options": {"A": "one"}}, "options must name two or more"),
        (CHOICE, {"options": {"A": "one", "a": "two"}}, "differ in more than case"),
        (CHOICE, {"options": {"A": "one", "B.": "two"}}, "letters or digits"),
        (CHOICE, {"answer": "C"}, "must be labels of options"),
        (CHOICE, {"answer": []}, "must be labels of options"),
        (CHOICE, {"answer": ["A", "A"]}, "must be labels of options"),
        (CHOICE, {"answer": None}, "must be labels of options"),
        (JSON, {"schema": {"format": "date"}}, "schema: #/format: this keyword is not checked"),
        (JSON, {"schema": 3}, "schema: # is neither"),
        (JSON, {"any_order": True, "abs_tol": 0.1}, "exclude each other"),
        (JSON, {"abs_tol": -1}, "below 0"),
        (JSON, {"answer": 10**1000}, "answer: a number of more than"),
        (QUERY, _database(rows=[["x" * (1 << 19)]]), "over the size limit"),
        (TEXT, {"parts": [{"name": "a", "kind": "text", "answer": "x"}]}, "both kind (text) and"),
        (PARTS, {"parts": []}, "kind '' is none of"),
        (PARTS, {"parts": [PART, PART]}, "part 'word': a name must be"),
        (PARTS, {"parts": [PART | {"name": "a b"}]}, "part 'a b': a name must be"),
        (PARTS, {"parts": [PART | {"weight": 0}]}, "part 'word': weight must be"),
        (PARTS, {"parts": [PART | {"kind": "composite"}]}, "part 'word': kind 'composite' is none"),
        (PARTS, {"parts": [PART | {"answer": ""}]}, "part 'word': text: answer must be"),
        (PARTS, {"parts": [PART | {"answer": "</word>"}]}, "holds its closing tag"),
        (PARTS, {"parts": [{"kind": "text"}]}, "missing required field name"),
        (QUERY, {"databases": []}, "databases is empty"),
        (QUERY, {"solution": ""}, "no solution"),
        (QUERY, _database(rows=[]), "any empty result would pass"),
        (QUERY, _database(rows=[[1], [1, 2]]), "several widths"),
        (QUERY, {"columns": ["a"]}, "several widths"),
        (QUERY, _database(rows=[[True]]), "null, numbers and texts"),
        (QUERY, _database(rows=None), "rows and no checks"),
        (QUERY, _database(row=[]), "unknown field"),
        (QUERY, {"kind": "sql_state"}, "checks and no rows"),
        (STATE, {"kind": "sql_query"}, "rows and no checks"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_with_file_and_line(
    row: dict[str, Any], change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, row, row | change)
    assert str(caught.value).startswith(f"{tmp_path / 'q.jsonl'}, line 2: ")
    assert problem in str(caught.value)


def test_json_needs_a_value_or_a_schema_with_a_solution(tmp_path: Path) -> None:
    bare = {"prompt": "p", "kind": "json"}
    for row, problem in (
        (bare, "neither answer nor schema"),
        ({**bare, "schema": {}}, "needs a solution"),
    ):
        with pytest.raises(DataError, match=problem):
            read(tmp_path, row)
    (null,) = read(tmp_path, {**bare, "answer": None})
    assert null.key.tests == JsonAnswer(wanted="null")
    (any_json,) = read(tmp_path, {**bare, "schema": {}, "solution": "[]"})
    assert (any_json.key.tests, any_json.oracle) == (JsonAnswer(schema="{}"), "[]")
