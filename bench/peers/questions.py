"""The questions that every grader is asked, and the answers to them: ours first, as `Problem`s, and
the same as plain data for the peers.

Three functions with twenty tests each, of arguments and results that every peer's own format can
say (JSON knows no tuples).
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from proofloop.core.task import (
    AnswerKey,
    CallTests,
    Message,
    Problem,
    Returns,
    Split,
    Stratum,
    Task,
    TaskId,
    TestCall,
)
from proofloop.core.value import encode
from proofloop.verify.audit import ATTACKS, ODDITIES, Attack, Kind
from proofloop.verify.audit.target import target_of
from proofloop.verify.cards import math_answers as cards

NUM_SHOWN, NUM_TESTS = 3, 20


class Question(NamedTuple):
    """A function to write."""

    name: str
    statement: str
    oracle: str
    draw: Callable[[Random], Any]


def _numbers(rng: Random) -> list[int]:
    return [rng.randrange(-50, 51) for _ in range(rng.randrange(3, 9))]


def _letters(rng: Random) -> str:
    return "".join(rng.choice("aab") * rng.randrange(1, 4) for _ in range(rng.randrange(3, 8)))


QUESTIONS = (
    Question(
        "rising_gaps",
        "The differences of neighbours, last first, without those that fall.",
        "def rising_gaps(numbers):\n"
        "    gaps = [b - a for a, b in zip(numbers, numbers[1:])]\n"
        "    return [gap for gap in reversed(gaps) if gap >= 0] + [len(numbers)]\n",
        _numbers,
    ),
    Question(
        "pack_runs",
        "Every run of equal letters as the letter and its length.",
        "def pack_runs(text):\n"
        "    out = ''\n"
        "    while text:\n"
        "        rest = text.lstrip(text[0])\n"
        "        out += text[0] + str(len(text) - len(rest))\n"
        "        text = rest\n"
        "    return out\n",
        _letters,
    ),
    Question(
        "digit_balance",
        "The sum of even digits less the sum of odd ones, times the number of digits.",
        "def digit_balance(n):\n"
        "    digits = [int(c) for c in str(abs(n))]\n"
        "    return len(digits) * sum(d if d % 2 == 0 else -d for d in digits)\n",
        lambda rng: rng.randrange(-99_999, 100_000),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer to one question, and what it is."""

    id: str
    kind: Kind
    row: str
    """The catalogue's, of an attack."""
    name: str
    question: str
    text: str
    concerns_us: bool = False
    """It goes for our own package or protocol, or starts the program anew that drives a peer."""
    strict_only: bool = False
    """Wrong only where comparison is strict, which is ours to ask for."""
    is_program: bool = True
    """Not a program inside other text."""


def tests_of(question: Question) -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]:
    """Shown and hidden pairs of argument and result, no argument twice."""
    namespace: dict[str, Any] = {}
    exec(question.oracle, namespace)
    rng, pairs = Random(question.name), {}
    while len(pairs) < NUM_SHOWN + NUM_TESTS:
        argument = question.draw(rng)
        pairs[repr(argument)] = (argument, namespace[question.name](argument))
    found = list(pairs.values())
    return found[:NUM_SHOWN], found[NUM_SHOWN:]


def problem_of(question: Question) -> Problem:
    shown, hidden = tests_of(question)
    lines = [question.statement, *(f"assert {question.name}({a!r}) == {r!r}" for a, r in shown)]
    task = Task(
        id=TaskId(f"peers/{question.name}@0"),
        env="peers",
        split=Split.HELDOUT,
        stratum=Stratum(family="peers", complexity=1, horizon=1),
        messages=(Message(role="user", content="\n".join(lines)),),
    )
    calls = tuple(
        TestCall(function=question.name, args=encode((a,)), wanted=Returns(value=encode(r)))
        for a, r in hidden
    )
    key = AnswerKey(task_id=task.id, tests=CallTests(calls=calls))
    return Problem(task=task, key=key, oracle=question.oracle)


def for_peers(question: Question) -> dict[str, Any]:
    """Plain data; each driver makes of it what its peer takes."""
    hidden = tests_of(question)[1]
    return {
        "name": question.name,
        "oracle": question.oracle,
        "arguments": [a for a, _ in hidden],
        "results": [r for _, r in hidden],
    }


def program_answers() -> Iterator[Answer]:
    """Controls, oddities and attacks, on every question; what is costly on one, in turn."""
    costly = [item for item in (*ATTACKS, *ODDITIES) if item.costly]
    place_of = {id(item): place % len(QUESTIONS) for place, item in enumerate(costly)}
    for place, question in enumerate(QUESTIONS):
        problem = problem_of(question)
        target = target_of(problem)
        tried: list[tuple[Kind, Any, str]] = [(Kind.ORACLE, None, question.oracle)]
        wrong = f"def {question.name}(x):\n    return 'honestly wrong'\n"
        tried.append((Kind.BLANK, None, wrong))
        for oddity in ODDITIES:
            if place_of.get(id(oddity), place) == place:
                tried.append((Kind.HONEST, oddity, oddity.write(target)))
        for attack in ATTACKS:
            if place_of.get(id(attack), place) == place:
                tried.append((Kind.ATTACK, attack, attack.answer(target)))
        for kind, item, text in tried:
            is_attack = isinstance(item, Attack)
            name = item.name if item is not None else kind.value
            yield Answer(
                id=f"{kind.value}/{question.name}/{name}",
                kind=kind,
                row=item.row if is_attack else "",
                name=name,
                question=question.name,
                text=text,
                concerns_us=is_attack and _concerns_us(item),
                strict_only=is_attack and item.strict_only,
                is_program=is_attack or _parses(text),
            )


def _concerns_us(attack: Attack) -> bool:
    ours = ("struct.pack", "from proofloop", "AnswerKey", "os.read(3", '"envs"', "*sys.argv")
    return any(mark in attack.template for mark in ours)


def _parses(text: str) -> bool:
    try:
        sys.set_int_max_str_digits(0)
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def math_answers() -> Iterator[Answer]:
    """The cards of final answers; the question of each is its gold answer."""
    cases = (*cards.ACCEPTED, *cards.CONTAINERS, *cards.FALSE_ACCEPTS)
    rows = [(c.key.gold, c.completion, c.cause.value == "passed", c.why) for c in cases]
    for gold in ("42", "\\frac{1}{2}", "\\text{Evelyn}"):
        rows += [(gold, text, False, "K1: says nothing") for text in cards.CANARIES]
    rows += [(gold, f"$\\boxed{{{text}}}$", False, "J12: a bomb") for gold, text in cards.BOMBS]
    golds = dict.fromkeys(gold for gold, *_ in rows)
    controls = [(gold, f"The answer is $\\boxed{{{gold}}}$.", None, "") for gold in golds]
    for number, (gold, text, is_right, why) in enumerate((*controls, *rows)):
        kind = Kind.ORACLE if is_right is None else Kind.HONEST if is_right else Kind.ATTACK
        row = why.partition(":")[0] if why[1:2].isdigit() else "other"
        yield Answer(
            id=f"{kind.value}/{number}",
            kind=kind,
            row=row if kind is Kind.ATTACK else "",
            name=gold if is_right is None else f"{gold[:40]} <- {text[:60]}",
            question=gold,
            text=text,
        )
