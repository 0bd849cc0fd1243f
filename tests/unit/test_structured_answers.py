"""The pure parts of structured answers: strict JSON, schemas, rows, places, composed rewards."""

import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from proofloop.core import value
from proofloop.core.json_schema import fits
from proofloop.core.json_schema_fault import fault
from proofloop.core.strict_json import MAX_DEPTH, NotJson, parse
from proofloop.core.task import ChoiceAnswer, Close, Composite, Option, Part, Place, TextAnswer
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict
from proofloop.verify.choice_answer import verify_choice
from proofloop.verify.composite import verify_parts
from proofloop.verify.math.extract import NoFinalAnswer
from proofloop.verify.place import section_of, text_at
from proofloop.verify.sql import same_rows
from proofloop.verify.text_answer import verify_text

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@settings(PATIENT)
@given(JSON)
def test_strict_json_reads_what_json_writes(content: Any) -> None:
    for text in (json.dumps(content), json.dumps(content, ensure_ascii=False, indent=1)):
        assert value.strictly_equal(parse(text), content)


@settings(PATIENT, max_examples=500)
@given(st.text(alphabet='[]{},:"\\ 0123e+-.truefalsnuNIy\n', max_size=30))
def test_strict_json_raises_nothing_else_and_accepts_no_more(text: str) -> None:
    try:
        parsed = parse(text)
    except NotJson:
        return
    assert value.strictly_equal(parsed, json.loads(text))


@pytest.mark.parametrize(
    "text",
    ["", " ", "nan", "NaN", "[Infinity]", "-Infinity", "1e999", "01", "+1", "1.", ".5", "1_0",
     "[1,]", "{}{}", "1 2", "'a'", '{"a":1,"a":1}', '{"a":1,"\\u0061":2}', '"\t"', "\ufeff1",
     "0x10", "[" * 99 + "]" * 99, "9" * 1001, "0." + "9" * 1001, "//\n1", "True", "None"],
)  # fmt: skip
def test_what_is_not_strict_json(text: str) -> None:
    with pytest.raises(NotJson):
        parse(text)


def test_nesting_is_counted_outside_of_strings() -> None:
    assert parse(json.dumps("[" * 999)) == "[" * 999
    parse("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    parse(json.dumps(['\\"[{' * 99] * 9))


def test_strict_json_is_linear() -> None:
    for flood in ('"', "[", "\\", '\\"', '"\\"', "9", "{", "[]", "\ud800", "😀", '["', "[1,"):
        for text in (flood * 60_000, '"' + flood * 60_000, flood * 60_000 + "\\"):
            start = time.thread_time()
            try:
                parsed = parse(text)
            except NotJson:
                pass
            else:
                value.encode(parsed)  # fits through the boundary, whatever it is
            assert time.thread_time() - start < 1.0, flood


@settings(PATIENT)
@given(JSON)
def test_all_that_is_parsed_fits_through_the_boundary(content: Any) -> None:
    value.encode(parse(json.dumps(content)))


@pytest.mark.parametrize(
    "wide", ["1,", "1.0,", '"",', "[],", "{},", "null,", '"é",', '"😀",', '"\ud800",']
)
def test_the_widest_json_fits_through_the_boundary(wide: str) -> None:
    size = len(wide.encode("utf-8", "surrogatepass"))
    value.encode((parse("true"), parse(f"[{wide * ((1 << 18) // size - 9)}0]")))


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (True, [1, None], []),
        (False, [], [1, None]),
        ({"type": "integer"}, [1, 1.0, -3], [1.5, True, "1", None]),
        ({"type": ["number", "null"]}, [1.5, None], [True, "x"]),
        ({"const": 1}, [1, 1.0], [True, "1", [1]]),
        ({"enum": [False, [1]]}, [False, [1.0]], [0, [True]]),
        ({"multipleOf": 0.01}, [19.99, 4], [0.075]),
        ({"minLength": 2}, ["😀😀", 1], ["😀"]),
        ({"pattern": "^a|b$"}, ["ax", "xb"], ["xb\n", "x"]),
        ({"pattern": "[$]$"}, ["a$"], ["a", "$b"]),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "null"}}, [["a", None], []],
         [[None], ["a", 1]]),
        ({"contains": {"const": 1}, "minContains": 2, "maxContains": 3}, [[1, 1], [1, 1, 1, 2]],
         [[1], [1] * 4]),
        ({"contains": {"const": 1}, "minContains": 0}, [[]], []),
        ({"uniqueItems": True}, [[1, True], [{"a": 1}, {"a": 2}]], [[1, 1.0], [{"a": 1}] * 2]),
        ({"properties": {"a": {"type": "null"}}, "patternProperties": {"^x": {"type": "string"}},
          "additionalProperties": {"type": "integer"}}, [{"a": None, "xy": "s", "z": 1}],
         [{"a": 1}, {"xy": 1}, {"z": "s"}]),
        ({"propertyNames": {"maxLength": 1}}, [{"a": 1}], [{"ab": 1}]),
        ({"dependentRequired": {"a": ["b"]}}, [{"a": 1, "b": 1}, {}], [{"a": 1}]),
        ({"dependentSchemas": {"a": {"maxProperties": 1}}}, [{"a": 1}], [{"a": 1, "b": 1}]),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1, 2], [0, 3]),
        ({"oneOf": [{"minimum": 1}, {"maximum": 2}]}, [0, 3], [1]),
        ({"not": {"anyOf": [{"type": "null"}, {"type": "array"}]}}, [1], [None, []]),
        ({"if": {"type": "string"}, "then": {"minLength": 1}, "else": {"minimum": 0}}, ["a", 0],
         ["", -1]),
        ({"$defs": {"a/b": {"type": "null"}}, "$ref": "#/$defs/a~1b"}, [None], [1]),
        ({"properties": {"next": {"$ref": "#"}}, "additionalProperties": False},
         [{"next": {"next": {}}}], [{"next": {"other": 1}}]),
    ],
)  # fmt: skip
def test_schemas(schema: Any, good: list[Any], bad: list[Any]) -> None:
    assert fault(schema) is None
    for content in good:
        assert not fits(schema, content), content
    for content in bad:
        assert fits(schema, content).startswith("#"), content


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"format": "date"}, "#/format"),
        ({"properties": {"a": {"unevaluatedItems": False}}}, "#/properties/a/unevaluatedItems"),
        ({"$ref": "https://example.org/s"}, "nothing is fetched"),
        ({"$ref": "#/$defs/x"}, "there is no"),
        ({"$ref": "#"}, "leads to itself"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}}, "leads to itself"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "#/$schema"),
        ({"pattern": "("}, "is no pattern"),
        ({"pattern": "\\p{L}"}, "is no pattern"),
        ({"type": "int"}, "#/type"),
        ({"required": "a"}, "#/required"),
        ({"maxItems": -1}, "#/maxItems"),
        ({"multipleOf": 0}, "#/multipleOf"),
        ({"items": [{}]}, "#/items"),
        ({"allOf": []}, "#/allOf"),
        ([], "#"),
    ],
)
def test_a_schema_that_is_not_all_checked_is_refused(schema: Any, problem: str) -> None:
    assert problem in (fault(schema) or "")


@pytest.mark.parametrize(
    ("place", "answer", "text"),
    [
        (Place.WHOLE, "<think>no</think>\n a b \n", "a b"),
        (Place.BLOCK, "x\n```sql\na\n```\ny", "a"),
        (Place.BLOCK, "```\na\n```\n```sql\na\n```", "a"),
        (Place.BLOCK, "```python\nb\n```\n```sql\na\n```", "a"),
        (Place.BLOCK, "<think>```\nb\n```</think>```\na\n```", "a"),
        (Place.BLOCK, " a ", "a"),
        (Place.FINAL, "\\boxed{a} and \\boxed{ a }", "a"),
    ],
)
def test_places(place: Place, answer: str, text: str) -> None:
    assert text_at(place, answer, tags=("sql",)) == text


@pytest.mark.parametrize(
    ("place", "answer", "cause"),
    [
        (Place.WHOLE, " ", ScoredCause.NO_ANSWER),
        (Place.WHOLE, "<think>a", ScoredCause.NO_ANSWER),
        (Place.BLOCK, "```sql\n\n```", ScoredCause.NO_ANSWER),
        (Place.BLOCK, "```sql\na\n```\n```\nb\n```", ScoredCause.CONFLICTING_ANSWERS),
        (Place.FINAL, "\\boxed{a b}\\boxed{ab}", ScoredCause.CONFLICTING_ANSWERS),
    ],
)
def test_places_without_one_text(place: Place, answer: str, cause: ScoredCause) -> None:
    with pytest.raises(NoFinalAnswer) as caught:
        text_at(place, answer, tags=("sql",))
    assert caught.value.cause is cause


def test_a_section_stands_between_its_tags_once() -> None:
    assert section_of("<think><a>1</a></think>x<a>2</a>", "a") == "2"
    for answer in ("", "<a>", "</a><a>", "<a>1</a><a>2</a>", "<a><a>1</a>", "<A>1</A>"):
        with pytest.raises(NoFinalAnswer):
            section_of(answer, "a")


NEAR = st.sampled_from([0.0, 0.6, 1.0, 1.5, 2.0])


@settings(PATIENT)
@given(
    st.lists(st.tuples(NEAR, NEAR), max_size=5).flatmap(
        lambda rows: st.tuples(
            st.just(rows),
            st.lists(st.tuples(NEAR, NEAR), min_size=len(rows), max_size=len(rows)),
        )
    )
)
def test_rows_in_any_order_under_a_tolerance_match_one_to_one(
    rows: tuple[list[tuple[float, float]], list[tuple[float, float]]],
) -> None:
    wanted, claimed = rows
    close = Close(rel_tol=0, abs_tol=0.5)
    expected = any(
        all(abs(a - b) <= 0.5 for w, c in zip(wanted, order, strict=True)
            for a, b in zip(w, c, strict=True))
        for order in itertools.permutations(claimed)
    )  # fmt: skip
    assert same_rows(wanted, claimed, ordered=False, close=close) is expected


@settings(PATIENT)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([None, 1, 1.0, "1", b"1"]))))
def test_rows_are_a_multiset_of_exact_values(rows: list[tuple[Any, ...]]) -> None:
    assert same_rows(rows, rows[::-1], ordered=False, close=None)
    for place in range(len(rows)):
        other = rows.copy()
        other[place] = (*rows[place][:-1], True)
        assert not same_rows(rows, other, ordered=False, close=None)


def test_rows_have_no_signed_zeros() -> None:
    for close in (None, Close(abs_tol=0.1)):
        for ordered in (True, False):
            assert same_rows([(1, 0.0)], [(1, -0.0)], ordered=ordered, close=close)
            assert not same_rows([(0, 0.0)], [(0.0, -0.0)], ordered=ordered, close=close)


def scored(reward: float) -> Scored:
    return Scored(
        reward=reward,
        passed=reward == 1.0,
        cause=ScoredCause.PASSED if reward == 1.0 else ScoredCause.TIME_LIMIT,
        parts={},
        detail="said",
        tier=Tier.T0,
    )


def composed(*parts: tuple[str, float | None, dict[str, Any]]) -> Verdict:
    """Parts of (name, reward or None for unscored, more fields)."""
    rewards = iter([reward for _, reward, _ in parts])

    def judge(_: object, __: str) -> Verdict:
        reward = next(rewards)
        if reward is None:
            return Unscored(cause=UnscoredCause.SANDBOX_LOST, detail="lost", tier=Tier.T0)
        return scored(reward)

    tests = TextAnswer(gold="x")
    composite = Composite(
        parts=tuple(Part(name=name, tests=tests, **fields) for name, _, fields in parts)
    )
    return verify_parts(judge, composite, "x", Tier.T0)


@pytest.mark.parametrize(
    ("parts", "reward", "cause"),
    [
        ([("a", 1.0, {}), ("b", 1.0, {"weight": 3.0})], 1.0, ScoredCause.PASSED),
        ([("a", 1.0, {}), ("b", 0.0, {"weight": 3.0})], 0.25, ScoredCause.TIME_LIMIT),
        ([("a", 0.5, {}), ("b", 0.0, {})], 0.25, ScoredCause.TIME_LIMIT),
        ([("a", 1.0, {}), ("b", 0.0, {"gate": True})], 0.0, ScoredCause.TIME_LIMIT),
        ([("a", 0.0, {}), ("b", 1.0, {"gate": True})], 0.0, ScoredCause.TIME_LIMIT),
        ([("a", 1.0, {}), ("b", 0.0, {}), ("c", 1.0, {"gate": True})], 0.5,
         ScoredCause.TIME_LIMIT),
        ([("a", 1.0, {"gate": True})], 1.0, ScoredCause.PASSED),
        ([("a", 0.5, {"gate": True})], 0.0, ScoredCause.TIME_LIMIT),
    ],
)  # fmt: skip
def test_rewards_of_parts(parts: Any, reward: float, cause: ScoredCause) -> None:
    verdict = composed(*parts)
    assert isinstance(verdict, Scored)
    assert (verdict.reward, verdict.cause) == (reward, cause)
    assert verdict.passed == (cause is ScoredCause.PASSED)
    assert verdict.parts == {name: part for name, part, _ in parts}
    failed = [name for name, part, _ in parts if part != 1.0]
    assert verdict.detail == (f"part {failed[0]!r}: said" if failed else
                              f"{len(parts)} of {len(parts)} parts")  # fmt: skip


def test_an_unscored_part_leaves_all_of_it_unscored() -> None:
    verdict = composed(("a", 0.0, {"gate": True}), ("b", None, {}))
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.SANDBOX_LOST
    assert "part 'b'" in verdict.detail


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [("a", 1.0, {}), ("a", 1.0, {})],
        [("a b", 1.0, {})],
        [("a", 1.0, {"section": "<x>"})],
        [("a", 1.0, {"weight": 0.0})],
        [("a", 1.0, {"weight": float("nan")})],
    ],
)
def test_composites_that_cannot_judge(parts: Any) -> None:
    verdict = composed(*parts)
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.INVALID_KEY


@pytest.mark.parametrize(
    ("labels", "gold"),
    [((), ()), (("A", "a"), ("A",)), (("A", "B"), ()), (("A", "B"), ("C",)), (("A-", "B"), ("B",)),
     (("A", "B"), ("A", "A"))],
)  # fmt: skip
def test_choices_that_cannot_judge(labels: tuple[str, ...], gold: tuple[str, ...]) -> None:
    key = ChoiceAnswer(options=tuple(Option(label=x, text=f"t{x}") for x in labels), gold=gold)
    assert verify_choice(key, "A", Tier.T0).cause is UnscoredCause.INVALID_KEY


def test_options_of_one_text_are_told_apart_by_their_labels() -> None:
    options = (
        Option(label="A", text="x"),
        Option(label="B", text="X"),
        Option(label="C", text="B"),
    )
    key = ChoiceAnswer(options=options, gold=("A",))
    for text, cause in (
        ("A", ScoredCause.PASSED),
        ("A) x", ScoredCause.PASSED),
        ("x", ScoredCause.INVALID_RESULT),
        ("B", ScoredCause.CONFLICTING_ANSWERS),  # a label, and the text of C
        ("(B) x", ScoredCause.WRONG_ANSWER),
    ):
        assert verify_choice(key, f"\\boxed{{{text}}}", Tier.T0).cause is cause, text


def test_text_and_choices_are_linear() -> None:
    text = TextAnswer(gold="é" * 2000, place=Place.WHOLE)
    options = tuple(Option(label=k, text=f"t{k}") for k in "AB")
    choice = ChoiceAnswer(options=options, gold=("A",), place=Place.WHOLE)
    for flood in ("\u0301\u0327", "$", "`", "**", "\\text{", "(", "A, ", "\\(", "é", "ß", "```\n"):
        answer = "A" + flood * 40_000
        for place in Place:
            start = time.thread_time()
            for verdict in (
                verify_text(replace(text, place=place), answer[: 4 * 2000], Tier.T0),
                verify_text(replace(text, place=place), answer, Tier.T0),
                verify_choice(replace(choice, place=place), answer, Tier.T0),
            ):
                assert isinstance(verdict, Scored)
                assert not verdict.passed
            assert time.thread_time() - start < 1.0, (flood, place)
