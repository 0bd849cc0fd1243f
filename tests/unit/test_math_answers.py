"""Final answers: the cards without the worker, the parts by hand-made examples, the caps."""

import contextlib
import time
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proofloop.core.task import AnswerKind, MathAnswer
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict
from proofloop.verify.cards.math_answers import ACCEPTED, BOMBS, CANARIES, CONTAINERS, FALSE_ACCEPTS
from proofloop.verify.math.extract import NoFinalAnswer, final_answer
from proofloop.verify.math.parser import parse
from proofloop.verify.math.prover import Prover
from proofloop.verify.math.read import read_gold
from proofloop.verify.math.ring import FULL, QUICK, OverLimit, Ring
from proofloop.verify.math.tree import (
    Expr,
    Listing,
    Notation,
    Num,
    Quantity,
    Text,
    Unreadable,
)
from proofloop.verify.math.units import read_unit
from proofloop.verify.math.verdicts import verify_answer
from proofloop.verify.math.worker import Outcome, Reply


class NoWorker(Prover):
    """Says that nothing can be proven, and counts how often it was asked."""

    num_asked = 0

    def ask(self, key: MathAnswer, text: str) -> Reply:
        self.num_asked += 1
        return Reply(outcome=Outcome.WRONG)


def judged(key: MathAnswer, completion: str) -> Verdict:
    return verify_answer(NoWorker(), key, completion, Tier.T0)


def passes(gold: str, text: str, **key: object) -> bool:
    verdict = judged(MathAnswer(gold=gold, **key), f"\\boxed{{{text}}}")  # type: ignore[arg-type]
    return isinstance(verdict, Scored) and verdict.passed


def test_extraction_and_parser_settle_these_without_a_worker() -> None:
    for case in CONTAINERS:
        prover = NoWorker()
        verdict = verify_answer(prover, case.key, case.completion, Tier.T0)
        assert verdict.cause is case.cause, (case, verdict)
        assert prover.num_asked == 0


def test_no_false_accept_without_the_worker() -> None:
    for case in FALSE_ACCEPTS:
        verdict = judged(case.key, case.completion)
        assert verdict.cause is case.cause, (case, verdict)
        assert isinstance(verdict, Scored)
        assert verdict.reward == 0.0


def test_nearly_all_right_answers_need_no_worker() -> None:
    failed = [c.key.gold for c in ACCEPTED if judged(c.key, c.completion).cause is not c.cause]
    assert failed == ["\\sqrt{2+\\sqrt3}", "e^{i\\pi}", "2^{n+1}"]


@pytest.mark.parametrize(
    "gold", ["42", "", "x", "1,2", "\\{1\\}", "B", "abc", "5\\text{ cm}", "0=0"]
)
def test_a_canary_earns_nothing(gold: str) -> None:
    for text in CANARIES:
        for completion in (text, f"\\boxed{{{text}}}"):
            verdict = judged(MathAnswer(gold=gold), completion)
            assert not (isinstance(verdict, Scored) and verdict.passed), (gold, completion)


def test_the_trusted_process_is_never_long_at_a_bomb() -> None:
    for gold, text in BOMBS:
        start = time.thread_time()
        verdict = judged(MathAnswer(gold=gold), f"\\boxed{{{text}}}")
        assert time.thread_time() - start < 0.2, (gold, text)
        assert isinstance(verdict, Scored)
        assert not verdict.passed


@settings(max_examples=400, deadline=None)
@given(
    st.text(alphabet="0123456789+-*/^_=<>(){}[]|,;:!%&$'.\\ xyzeifracsqtpolnbdgm\n#A", max_size=80)
)
def test_no_text_raises_or_passes_without_the_digits(text: str) -> None:
    for completion in (text, f"\\boxed{{{text}}}", f"#### {text}"):
        verdict = judged(MathAnswer(gold="271828"), completion)
        assert isinstance(verdict, Scored)
        if not {"2", "7", "1", "8"} <= set(text):
            assert not verdict.passed, completion


PIECES = [
    "1", "25", "3.5", "x", "y_1", "+", "-", "\\cdot ", "/", "^2", "=", "<", ",", "(", ")", "[", "]",
    "\\{", "\\}", "\\frac{1}{2}", "\\sqrt{3}", "\\pi", "\\%", "\\$", "\\text{ cm}", "\\sin ",
    "A", "\\infty", "\\cup ", "!", "^\\circ", "_2", " and ", "\\pm ", ":", "|", "e", "word", ".",
]  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=8).map("".join))
@example("(A")
def test_every_gold_answer_passes_against_itself(gold: str) -> None:
    verdict = judged(MathAnswer(gold=gold), f"\\boxed{{{gold}}}")
    nothing = not gold.strip(" .")
    assert verdict.cause is (ScoredCause.NO_ANSWER if nothing else ScoredCause.PASSED), verdict


@settings(max_examples=200, deadline=None)
@given(st.fractions(max_denominator=10**6), st.fractions(max_denominator=10**6))
def test_numbers_equal_themselves_alone(a: Fraction, b: Fraction) -> None:
    def latex(x: Fraction) -> str:
        sign = "-" if x < 0 else ""
        return f"{sign}\\frac{{{abs(x.numerator)}}}{{{x.denominator}}}"

    assert passes(latex(a), f"{a.numerator}/{a.denominator}")
    assert passes(latex(a), latex(b)) == (a == b)


@pytest.mark.parametrize("text", [
    "1 2", "1/2x", "a=b=c", "x^2^3", "(1,2", "[1,2,3)", "\\frac{1}", "1//2", "2**", "()", "{}",
    "\\sqrt[x]{2}", "f(x)", "\\foo", "1 + ", "3!!", "5%%", "\\sin",
    "\\begin{pmatrix}1&2\\\\3\\end{pmatrix}",
    "((((" * 40 + "1" + "))))" * 40, "1/0", "\\pm\\pm 1", "x_{1,2}", "0x1F", "1\\", "\\text{",
])  # fmt: skip
def test_what_is_ambiguous_or_unfinished_is_unreadable(text: str) -> None:
    try:
        read = parse(text)
    except Unreadable:
        return
    assert text in ("f(x)", "0x1F"), read  # letters side by side are a product


@pytest.mark.parametrize(("text", "value", "notation"), [
    ("1,234.50", Fraction(2469, 2), Notation.DECIMAL), ("10{,}000", 10000, Notation.INTEGER),
    ("2{,}5", Fraction(5, 2), Notation.DECIMAL), ("-3", -3, Notation.INTEGER),
    (".5", Fraction(1, 2), Notation.DECIMAL), ("1.5e3", 1500, Notation.SCIENTIFIC),
    ("2 \\times 10^{-3}", Fraction(1, 500), Notation.SCIENTIFIC),
    ("7\\%", Fraction(7, 100), Notation.PERCENT),
    ("0.\\overline{142857}", Fraction(1, 7), Notation.DECIMAL),
    ("1\\tfrac34", Fraction(7, 4), Notation.MIXED),
])  # fmt: skip
def test_numerals(text: str, value: Fraction | int, notation: Notation) -> None:
    assert parse(text) == Num(Fraction(value), notation)


def test_a_comma_groups_digits_outside_brackets_only() -> None:
    assert parse("1,234") == Num(Fraction(1234), Notation.INTEGER)
    assert passes("\\{1, 234\\}", "\\{1,234\\}")
    assert not passes("(1234, 5)", "(1,234,5)")
    assert isinstance(parse("1, 234"), Listing)


def test_units_compare_exactly() -> None:
    assert read_unit(["km", "/", "h"]) == read_unit(["kilometers", "per", "hour"])
    assert read_unit(["square", "cm"]).factor == Fraction(1, 10000)
    assert passes("36\\text{ km/h}", "10\\text{ m/s}")
    assert not passes("36\\text{ km/h}", "36\\text{ m/s}")
    assert isinstance(parse("5 cm"), Quantity)
    for words in (["dozen"], ["cm", "^", "9"], ["per"], ["square"]):
        with pytest.raises(Unreadable):
            read_unit(words)


def test_a_declared_kind_decides_how_the_gold_is_read() -> None:
    assert read_gold(MathAnswer(gold="42", kind=AnswerKind.TEXT)) == Text("42")
    assert not passes("ab", "ba")
    assert passes("ab", "ba", kind=AnswerKind.EXPRESSION)
    for gold, kind in (("x", AnswerKind.INTEGER), ("1.5", AnswerKind.INTEGER),
                       ("\\pi", AnswerKind.RATIONAL), ("1", AnswerKind.MATRIX),
                       ("hello", AnswerKind.CHOICE), ("", AnswerKind.TEXT)):  # fmt: skip
        verdict = judged(MathAnswer(gold=gold, kind=kind), "\\boxed{1}")
        assert isinstance(verdict, Unscored), gold
        assert verdict.cause is UnscoredCause.INVALID_KEY


def test_a_tolerance_is_the_keys_to_declare() -> None:
    key = {"kind": AnswerKind.REAL, "tolerance": 0.01}
    assert passes("3.14", "3.149", **key)
    assert passes("3.14", "3.15", **key)
    assert not passes("3.14", "3.16", **key)
    assert not passes("3.14", "3.149")


def test_the_unknown_asked_for_may_be_named() -> None:
    assert passes("5", "x = 5", unknown="x")
    for text in ("y = 5", "5 = x", "x = 6", "x = 4+1", "x = 5 = 5", "x < 5", "0 = 5"):
        assert not passes("5", text, unknown="x")


def test_exact_arithmetic_is_counted() -> None:
    def expr(text: str) -> Expr:
        parsed = parse(text)
        assert isinstance(parsed, Expr)
        return parsed

    for text in ("9^{9999}", "101!", "(a+b+c)^9", "(((2^9)^9)^9)^9"):
        with pytest.raises(OverLimit):
            Ring(QUICK).ratio(expr(text))
    with pytest.raises(OverLimit):
        Ring(FULL).ratio(expr("9^{9^9}"))
    assert Ring(QUICK).ratio(expr("\\sqrt{12}")) == Ring(QUICK).ratio(expr("2\\sqrt{3}"))
    assert Ring(QUICK).ratio(expr("\\sqrt{-4}\\sqrt{-4}")).rational == -4
    assert Ring(QUICK).ratio(expr("\\sqrt[3]{-8}")).rational == -2


@pytest.mark.parametrize(("completion", "answer"), [
    ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"), ("\\boxed 5", "5"), ("\\fbox{7}", "7"),
    ("x\n#### 5\n", "5"), ("\\boxed{\\{1\\}}", "\\{1\\}"), ("Answer: the answer is $3$.", "$3$"),
])  # fmt: skip
def test_final_answers(completion: str, answer: str) -> None:
    assert final_answer(completion) == answer


def test_extraction_is_linear() -> None:
    floods = ("\\boxed{", "<think>", "</think>", "the answer is ", "#### 1\n", "A: 1\n", "{", "$")
    for flood in floods:
        start = time.thread_time()
        with contextlib.suppress(NoFinalAnswer):
            final_answer(flood * 100_000)
        assert time.thread_time() - start < 1.0, flood
