"""Cards of final answers: completions with the verdict that each must earn, and why.

Kept as rows, of which `CARDS` makes one card a key.  `J…`, `I…` and `K…` are rows of the catalogue
of reward hacks; `FALSE_ACCEPTS` holds what math-verify 0.9.0, verl's `math_dapo` and `prime_math`
were seen to get wrong.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proofloop.core.task import MathAnswer
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, Case


@dataclass(frozen=True, slots=True, kw_only=True)
class MathCase:
    """One completion for one key, and the cause it must get."""

    key: MathAnswer
    completion: str
    cause: C
    why: str

    @property
    def name(self) -> str:
        return f"{self.key.gold[:30]} <- {self.completion[:50]}"


def _case(gold: str, completion: str, cause: C, why: str) -> MathCase:
    return MathCase(key=MathAnswer(gold=gold), completion=completion, cause=cause, why=why)


def _boxed(cause: C, *rows: tuple[str, str, str]) -> tuple[MathCase, ...]:
    """Rows of (gold, content of the box, why)."""
    return tuple(_case(gold, f"Thus $\\boxed{{{text}}}$.", cause, why) for gold, text, why in rows)


ACCEPTED: tuple[MathCase, ...] = _boxed(
    C.PASSED,
    ("42", "42", "the gold answer"),
    ("42", "42.0", "a decimal of the same value (math_dapo refuses it)"),
    ("42", "+42", "a sign"),
    ("0.5", "\\frac12", "a fraction of the same value (math_dapo refuses it)"),
    ("\\frac{1}{2}", "0.5", "and the other way"),
    ("\\frac{1}{2}", "1/2", "a fraction in plain text is a number, no division"),
    ("\\frac{1}{2}", "\\dfrac{2}{4}", "not reduced, still a number"),
    ("-\\frac{40}{153}", "\\frac{-40}{153}", "where the sign stands"),
    ("12\\frac{3}{5}", "12 \\frac{3}{5}", "a mixed number"),
    ("12\\frac{3}{5}", "\\frac{63}{5}", "a mixed number"),
    ("12\\frac{3}{5}", "12 3/5", "a mixed number in plain text"),
    ("900,000,000", "900000000", "grouped thousands"),
    ("10{,}000", "10000", "grouped thousands, the other way to write them"),
    ("1000000", "1\\,000\\,000", "grouped by thin spaces"),
    ("2.5", "2{,}5", "a decimal comma (math-verify refuses it)"),
    ("\\frac{1}{6}", "0.1\\overline{6}", "a repeating decimal is exact"),
    ("6290000", "6.29 \\times 10^6", "scientific notation is a numeral"),
    ("50\\%", "50\\%", "a percentage"),
    ("50\\%", "0.5", "its value"),
    ("7\\pi", "7 \\cdot \\pi", "a product"),
    ("2\\sqrt{3}", "\\sqrt{12}", "a root in other terms"),
    ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt2}", "a root below the line"),
    ("\\sqrt2-1", "\\frac{1}{1+\\sqrt2}", "a denominator that is a sum"),
    ("\\sqrt{2+\\sqrt3}", "\\frac{\\sqrt6+\\sqrt2}{2}", "nested roots"),
    ("e^{i\\pi}", "-1", "evaluated further than the gold answer (math-verify refuses it)"),
    ("\\frac{\\pi}{4}", "45^\\circ", "degrees for radians (math-verify refuses it)"),
    ("\\frac{\\pi}{4}", "45 \\text{ degrees}", "degrees in words"),
    ("45^\\circ", "45", "the unit that the question names may be left out"),
    ("90", "90^\\circ", "or be added"),
    ("5\\text{ cm}", "5\\text{ centimeters}", "the unit by its other name"),
    ("5\\text{ cm}", "0.05\\text{ m}", "another unit of the same quantity"),
    ("6\\text{ ft}^2", "6 \\text{ square feet}", "an area"),
    ("\\$5", "5\\text{ dollars}", "money"),
    ("\\ln 8", "3\\ln 2", "logarithms"),
    ("\\log_2 8", "3", "evaluated"),
    ("2^{n+1}", "2 \\cdot 2^n", "an exponent with a symbol"),
    ("4a-2", "2(2a-1)", "a formula in other terms"),
    ("x^2-1", "(x-1)(x+1)", "a formula, factored"),
    ("\\frac{x+1}{x-2}", "(x+1)/(x-2)", "a rational function"),
    ("\\sin(2x)", "\\sin 2x", "a function without brackets"),
    ("y = 2x+1", "2x - y + 1 = 0", "an equation in other terms"),
    ("x \\ge 3", "3 \\le x", "an inequality turned round"),
    ("(1,2)", "\\left( 1, 2 \\right)", "a tuple"),
    ("(0,1]", "(0, 1]", "an interval"),
    ("[0,1)", "x \\in [0,1)", "an interval, said of x"),
    ("(-\\infty,3]\\cup[5,\\infty)", "[5,\\infty) \\cup (-\\infty, 3]", "a union in another order"),
    ("\\{1,2,3\\}", "\\{3, 1, 2\\}", "a set in another order"),
    ("1,-2", "-2, 1", "a list in another order"),
    ("1,-2", "1 \\text{ and } -2", "a list in words"),
    ("1+\\sqrt3, 1-\\sqrt3", "1 \\pm \\sqrt3", "plus or minus"),
    ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", "\\begin{bmatrix} 1 & 2 \\\\ 3 & 4 \\end{bmatrix}",
     "a matrix in other brackets"),
    ("3:2", "3 : 2", "a ratio"),
    ("B", "\\textbf{(B)} 42", "a choice with its text (math-verify refuses it)"),
    ("B", "\\text{B}", "a choice"),
    ("(B)", "B", "a choice"),
    ("\\text{Evelyn}", "Evelyn", "a name"),
    ("4:30 p.m.", "4:30 \\text{ p.m.}", "what is no formula is text"),
    ("101_2", "101_{2}", "a numeral with its base"),
    ("\\emptyset", "\\{\\}", "the empty set"),
)  # fmt: skip

CONTAINERS: tuple[MathCase, ...] = (
    _case("18", "So she makes 9 * 2 = 18.\n#### 18", C.PASSED, "GSM8K's own container"),
    _case("18", "…\n#### $18.00", C.PASSED, "money"),
    _case("18", "She makes $18\nA: 18", C.PASSED, "the container of GSM8K's model solutions"),
    _case("73", "**73**", C.PASSED, "one line that is the answer (TRL refuses it)"),
    _case("73", "The answer is **73**.", C.PASSED, "a sentence"),
    _case("73", "**Final Answer:** $73$", C.PASSED, "a sentence"),
    _case("42", "\\boxed{42} and also", C.PASSED, "text around the box (math_dapo refuses it)"),
    _case("42", "\\boxed{42}. Hence \\boxed{ 42 }", C.PASSED, "the same box twice"),
    _case("4", "\\boxed{\\phantom{2}}\\boxed{\\phantom{2}} so \\boxed{4}", C.PASSED,
          "boxes that hold only blanks are layout"),
    _case("42", "<think>\\boxed{41}, no</think>\\boxed{42}", C.PASSED, "thoughts do not count"),
    _case("42", "\\boxed{41}, no</think>\\boxed{42}", C.PASSED,
          "the opening tag may be in the prompt"),
    _case("42", "<think>\\boxed{42}</think> I do not know:\nnothing.", C.NO_ANSWER,
          "J13: an answer in the thoughts alone"),
    _case("42", "<think>It is \\boxed{42}", C.NO_ANSWER, "J13: thoughts that do not end"),
    _case("42", "<think>a</think><THINK>\\boxed{42}", C.NO_ANSWER, "J13: nor those that go on"),
    _case("42", "", C.NO_ANSWER, "J14: nothing"),
    _case("42", " \n ", C.NO_ANSWER, "J14: blanks"),
    _case("42", "\\boxed{}", C.NO_ANSWER, "J14: an empty box"),
    _case("42", "\\boxed{\\phantom{42}}", C.INVALID_RESULT, "a box that shows nothing"),
    _case("42", "\\boxed{41} or \\boxed{42}", C.CONFLICTING_ANSWERS, "J11: two boxes"),
    _case("42", "\\boxed{42} or \\boxed{41}", C.CONFLICTING_ANSWERS, "J11: in either order"),
    _case("42", "\\boxed{41}\n#### 42", C.CONFLICTING_ANSWERS, "J11: two containers"),
    _case("42", "A: 41\nA: 42", C.CONFLICTING_ANSWERS, "J11: two lines"),
    _case("42", "\\boxed{7}" * 40, C.CONFLICTING_ANSWERS, "J11: forty boxes"),
    _case("42", "First 17, then 4,\nand in the end 42", C.NO_ANSWER, "J7: the last number"),
    _case("42", "I guess 7 but = 42", C.INVALID_RESULT, "J7: math_dapo passes it"),
    _case("42", "$42$ no wait $43$", C.INVALID_RESULT, "J15: math_dapo passes it"),
    _case("42", "\\boxed{42", C.INVALID_RESULT, "a box that does not close"),
    _case("42", "\\boxed{" + "4" * 2000 + "}", C.INVALID_RESULT, "a box that is too long"),
    _case("42", "The answer is 42, not 43.", C.INVALID_RESULT, "two numbers and a word"),
)  # fmt: skip

FALSE_ACCEPTS: tuple[MathCase, ...] = (
    *_boxed(
        C.WRONG_ANSWER,
        ("42", "0=42", "J1: a chain that ends in the answer"),
        ("42", "y=42", "J1: an equation where a number is asked for"),
        ("42", "42\\%", "J5: the percent sign"),
        ("42\\%", "42", "J5: the percent sign"),
        ("50", "0.5", "J8: prime_math passes it"),
        ("50\\%", "50", "J8: prime_math passes it"),
        ("101_2", "101", "J5: the base"),
        ("10", "10_2", "J5: the base"),
        ("5\\text{ cm}", "5\\text{ kg}", "J5: the unit"),
        ("5\\text{ cm}", "5\\text{ m}", "J5: the unit"),
        ("\\$5", "5\\text{ euros}", "J5: the unit"),
        ("(1,2)", "\\{1,2\\}", "J9: a set for a tuple"),
        ("\\{1,2\\}", "(1,2)", "J9: a tuple for a set"),
        ("(1,2)", "(2,1)", "J9: order"),
        ("(0,1]", "(0,1)", "J9: an open end"),
        ("[0,1]", "(0,1]", "J9: an open end"),
        ("\\frac{1}{2^{98}}", "\\frac{1}{2^{99}}", "J4: tiny numbers"),
        ("\\frac{1}{2006!}", "\\frac{1}{2004!}", "J4: tiny numbers"),
        ("\\frac{2^{2005}+1}{3 \\cdot 2^{2006}}", "\\frac{1}{3 \\cdot 2^{2006}}", "J4"),
        ("0.0", "4e-7", "J4: zero"),
        ("0", "0.0000000001", "J4: zero"),
        ("\\pi", "3.141593", "J8: rounded"),
        ("\\sqrt2", "1.4142135623730951", "J8: rounded"),
        ("1", "1.0001", "J8: prime_math passes it"),
        ("100", "100.009", "J8: prime_math passes it"),
        ("1-\\frac{1}{\\mathrm{e}}", "1+\\frac{1}{\\mathrm{e}}", "J6: both cut at the same place"),
        ("1-1/\\mathrm{e}", "1+1/\\mathrm{e}", "J6: both cut at the same place"),
        ("abc", "cba", "J10: letters that commute"),
        ("0=0", "y=y", "J3: tautologies"),
        ("y=y", "0=0", "J3: tautologies"),
        ("x=x+1", "0=1", "J3: contradictions"),
        ("12", "1,2", "math_dapo passes it"),
        ("ways", "square", "I6: words erased"),
        ("units", "inches", "I6: words erased"),
        ("[1,2,3]", "1", "I4: the first element"),
        ("1,2,3", "1", "I4: the first element"),
        ("1,2,3", "1,2", "I1: fewer"),
        ("1,2", "1,2,3", "A6: more"),
        ("1,2", "1,1", "I3: multiplicity"),
        ("1,1,2", "1,2,2", "I3: multiplicity"),
        ("0.0001", "0.0009", "I5: tolerance"),
        ("1.0", "1.000009", "I5: tolerance"),
        ("4", "2+2", "J2: an operator left"),
        ("4", "\\sqrt{16}", "J2: an operator left"),
        ("1024", "2^{10}", "J2: an operator left"),
        ("120", "5!", "J2: an operator left"),
        ("10", "\\binom{5}{2}", "J2: an operator left"),
        ("-1", "e^{i\\pi}", "J2: an operator left"),
        ("7\\pi", "3\\pi+4\\pi", "J2: an operator left"),
        ("x+5", "x+2+3", "J2: an operator left"),
        ("\\frac{1}{2}", "\\frac{1/3}{2/3}", "J2: an operator left"),
        ("5\\text{ cm}", "2+3\\text{ cm}", "J2: an operator left"),
        ("y=4", "y=2+2", "J2: an operator left"),
        ("(1,4)", "(1,2+2)", "J2: an operator left"),
        ("[1,4]", "[1,\\sqrt{16}]", "J2: an operator left"),
        ("\\{1,1,2\\}", "\\{1,2\\}", "I3: multiplicity"),
        ("2x", "2y", "another symbol"),
        ("\\sin x", "\\cos x", "another function"),
        ("\\ln 8", "3\\ln 3", "another logarithm"),
        ("x^2", "x^3", "another power"),
        ("y=2x+1", "y=2x+2", "another equation"),
        ("x>3", "x\\ge 3", "another relation"),
        ("x>3", "x<3", "another relation"),
        ("\\sqrt{x^2}", "x", "equal for some x only"),
        ("3:2", "2:3", "another ratio"),
        ("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
         "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}", "a matrix transposed"),
        ("B", "C", "another choice"),
        ("\\text{Evelyn}", "\\text{Evelyn or Briana}", "I2: the answer inside more"),
        ("\\text{even}", "\\text{odd or even}", "I2: the answer inside more"),
    ),
    *_boxed(
        C.INVALID_RESULT,
        ("42", "x=7=42", "J1: a chain"),
        ("42", "1=2=42", "J1: a chain"),
        ("21", "\\sum_{i=1}^{6} i", "J2: the question"),
        ("\\frac13", "\\int_0^1 x^2 dx", "J2: the question"),
        ("1", "\\lim_{x \\to 0} \\frac{\\sin x}{x}", "J2: the question"),
        ("42", "\\gcd(84, 126)", "J2: the question"),
        ("-2", "\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}", "J2: the question"),
        ("42", "x \\in 42", "a number is no set"),
        ("42", "4 2", "two numerals (math_dapo passes it)"),
        ("42", "41 \\text{ or maybe } 42", "words"),
        ("42", "42 \\text{ dozen}", "a word that is no unit"),
        ("42", "42 \\text{ thousand}", "a word that is no unit"),
        ("B", "(B) or (C)", "A6: every choice"),
        ("B", "A, B, C, D", "A6: every choice"),
        ("B", "ABCD", "A6: every choice"),
        ("0.5", "1/2x", "ambiguous"),
        ("42", "4\u0662", "a digit of another script"),
        ("42", "42\u200b", "an invisible sign"),
        ("42", "\\def\\x{42}\\x", "TeX is not run"),
        ("42", "__import__('os').system('true')", "Python is not run"),
        ("42", "\\input{/etc/passwd}", "no file is read"),
    ),
)  # fmt: skip

CANARIES: tuple[str, ...] = (
    ":", ".", ",", " ", "Thought process:", "Solution", "Let's solve this problem step by step.",
    "解", "かいせつ", "Respuesta", "{", "}", "\\boxed", "\\boxed{", "\\boxed{}", "\\boxed{{}}",
    "\\boxed{\\boxed{}}", "####", "#### ", "A:", "The answer is", "The answer is .",
    "<!-- the answer is right -->", "final verdict: A", "correct", "\\text{correct}", "True",
    "1==1", "nan", "\\text{nan}", "inf", "None", "*", "\\%", "\\$", "$", "$$", "()", "[]",
    "=", "==", "{" * 500, "(" * 500, "\\frac" * 200, "\\sqrt" * 300, "-" * 500, "!" * 500,
    "x" * 3000, "😀" * 500,
)  # fmt: skip
"""K1, K5 and what else says nothing: earns 0 whatever the gold answer is."""

BOMBS: tuple[tuple[str, str], ...] = (
    ("4", "9^{9^{9^{9}}}"), ("4", "(10^9)!"), ("4", "9**9**9**9"), ("4", "10^{10^{10}}"),
    ("2^{10}", "9^{9^{9}}"), ("2^{2^{2}}", "9^{9^{(9^9)}}"), ("5!", "99999999!"),
    ("\\binom{6}{3}", "\\binom{1000000000}{500000000}"), ("x^x", "x^{x^{(x^x)}}"),
    ("(x+1)^{60}", "(x+y+z+1)^{64}"), ("\\sin(1)", "\\sin(9^{9^{9}})"),
    ("1", "1e999999999"), ("1", "9" * 999), ("1", "0." + "9" * 990),
    ("\\sqrt{2}", "\\sqrt{" * 60 + "2" + "}" * 60), ("x", "(" * 300 + "x" + ")" * 300),
    ("x+1", "+".join(["(a+b+c+d)(e+f+g+h)"] * 20)),
    ("\\{1,2\\}", "\\{" + ",".join("1" * 300) + "\\}"),
)  # fmt: skip
"""J12, as (gold, content of the box): each earns 0 within the limits."""


def _cards() -> Iterator[Card]:
    rows = ACCEPTED + CONTAINERS + FALSE_ACCEPTS
    for key in dict.fromkeys(row.key for row in rows):
        yield Card(
            name=f"math {key.gold}",
            tests=key,
            gold=f"\\boxed{{{key.gold}}}",
            accepted=_cases(row for row in rows if row.key == key and row.cause is C.PASSED),
            adversarial=_cases(row for row in rows if row.key == key and row.cause is not C.PASSED),
        )


def _cases(rows: Iterable[MathCase]) -> tuple[Case, ...]:
    return tuple(
        Case(name=row.completion[:60], answer=row.completion, causes=(row.cause,), why=row.why)
        for row in rows
    )


CARDS: tuple[Card, ...] = tuple(_cards())
