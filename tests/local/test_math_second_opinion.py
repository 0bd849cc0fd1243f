"""math-verify as a second opinion, never as the judge: where the two differ on real completions
and on the cards must be on a list, with the reason.

Needs an interpreter that has math-verify, named by PROOFLOOP_MATH_VERIFY_PYTHON; Proofloop does
not depend on it.
"""

import gzip
import json
import os
import subprocess
from pathlib import Path

import pytest

from proofloop.core.task import MathAnswer
from proofloop.core.verdict import Scored, Tier
from proofloop.verify.cards.math_answers import ACCEPTED, FALSE_ACCEPTS
from proofloop.verify.math.prover import Prover
from proofloop.verify.math.verdicts import verify_answer

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "math_model_solutions.jsonl.gz"
PYTHON = os.environ.get("PROOFLOOP_MATH_VERIFY_PYTHON")

pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="PROOFLOOP_MATH_VERIFY_PYTHON names no interpreter with math-verify"
)


def opinions(rows: list[tuple[str, str]]) -> list[bool]:
    """math-verify's, of (gold, completion)."""
    assert PYTHON is not None
    lines = "".join(json.dumps({"gold": g, "completion": c}) + "\n" for g, c in rows)
    done = subprocess.run(
        [PYTHON, str(ROOT / "bench" / "math_peer.py")],
        input=lines,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return [json.loads(line)["passed"] for line in done.stdout.splitlines()]


def ours(rows: list[tuple[str, str]]) -> list[bool]:
    prover = Prover()
    verdicts = [verify_answer(prover, MathAnswer(gold=g), c, Tier.T0) for g, c in rows]
    prover.close()
    return [isinstance(verdict, Scored) and verdict.passed for verdict in verdicts]


@pytest.mark.skipif(not DATA.exists(), reason=f"no {DATA.name} beside the repository")
def test_the_two_agree_on_real_completions() -> None:
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        data = [json.loads(line) for line in file]
    rows = [(row["answer"], completion) for row in data for completion in row["completions"]]
    differ = [
        gold
        for (gold, _), mine, theirs in zip(rows, ours(rows), opinions(rows), strict=True)
        if mine != theirs
    ]
    # One gold answer is damaged (4:30p..): math-verify compares its numbers, we refuse it.
    assert set(differ) <= {"4:30p.."}


def test_what_it_accepts_and_we_do_not_is_on_the_card() -> None:
    """Of the card's wrong answers it passes some dozens; of the right ones it refuses a few."""
    wrong = [(case.key.gold, case.completion) for case in FALSE_ACCEPTS]
    right = [(case.key.gold, case.completion) for case in ACCEPTED]
    assert not any(ours(wrong))
    assert all(ours(right))
    assert sum(opinions(wrong)) >= 20
    assert 0 < opinions(right).count(False) <= 15
