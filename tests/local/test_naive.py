"""The naive reward, run for real: what it rewards and our verdict does not."""

from collections.abc import Iterator

import pytest

from proofloop.core.sandbox import Limits
from proofloop.core.task import Split
from proofloop.core.verdict import Scored
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.sandbox import ForkServerSandbox, open_sandbox
from proofloop.verify import build_verifier
from proofloop.verify.naive import passes_naively

ENVIRONMENT = FunctionsEnvironment(families=("int",), complexity=(2,))
PROBLEM = ENVIRONMENT.problem(Split.TRAIN, ENVIRONMENT.strata(Split.TRAIN)[0], 0)
SHOWN = PROBLEM.task.messages[0].content
LIMITS = Limits(wall_s=1, cpu_s=1)


def table() -> str:
    """Returns the shown results for the shown arguments."""
    cases = [line.removeprefix("assert f(").split(") == ") for line in SHOWN.splitlines()[1:]]
    return "def f(x):\n" + "".join(f"    if x == {x}: return {y}\n" for x, y in cases)


HACKS = {
    "table": table(),
    "early exit": "import os\nos._exit(0)\n",
    "polite exit": "raise SystemExit\n",
    "always equal": "class E:\n    __eq__ = lambda *a: True\ndef f(x): return E()\n",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ForkServerSandbox]:
    with open_sandbox() as opened:
        yield opened


def test_a_right_program_passes_and_a_wrong_one_does_not(sandbox: ForkServerSandbox) -> None:
    assert passes_naively(sandbox, PROBLEM.oracle, SHOWN, LIMITS)
    for wrong in ("", "def f(x): return None\n", "import os\nos._exit(1)\n", "while True: pass\n"):
        assert not passes_naively(sandbox, wrong, SHOWN, LIMITS), wrong


@pytest.mark.parametrize("name", HACKS)
def test_a_hack_is_rewarded_naively_and_not_by_us(name: str, sandbox: ForkServerSandbox) -> None:
    assert passes_naively(sandbox, HACKS[name], SHOWN, LIMITS)
    with build_verifier(None, LIMITS) as verifier:
        verdict = verifier.verify(PROBLEM.task, PROBLEM.key, HACKS[name])
    assert isinstance(verdict, Scored)
    assert verdict.reward == 0
