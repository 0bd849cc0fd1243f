"""From a completion to a verdict on its final answer.

Most answers are settled here, in the trusted process: extraction, parser and exact arithmetic are
linear or counted, with caps (`bench/math_answers.py` times the worst).  What they leave
open goes to the worker.
"""

from typing import assert_never

from proofloop.core.errors import WorkerLost
from proofloop.core.task import MathAnswer
from proofloop.core.verdict import ScoredCause, Tier, UnscoredCause, Verdict
from proofloop.verify.math.compare import Undecided, Wrong, equal_exactly, within
from proofloop.verify.math.extract import NoFinalAnswer, final_answer
from proofloop.verify.math.match import InvalidKey, matched
from proofloop.verify.math.prover import Prover
from proofloop.verify.math.tree import Unreadable
from proofloop.verify.math.worker import Outcome, Reply
from proofloop.verify.outcome import judged, unscored


def verify_answer(prover: Prover, key: MathAnswer, completion: str, tier: Tier) -> Verdict:
    """Raises WorkerLost when our side broke.  No program runs: `tier` is what the verifier had
    at hand."""
    try:
        text = final_answer(completion)
    except NoFinalAnswer as e:
        return judged(e.cause, e.detail, tier)
    try:
        matched(key, text, equal_exactly, within)
    except Undecided:
        return _verdict(prover.ask(key, text), tier)
    except Wrong as e:
        return judged(ScoredCause.WRONG_ANSWER, str(e), tier)
    except Unreadable as e:
        return judged(ScoredCause.INVALID_RESULT, str(e), tier)
    except InvalidKey as e:
        return unscored(UnscoredCause.INVALID_KEY, str(e), tier)
    return judged(ScoredCause.PASSED, "equal, exactly", tier)


def _verdict(reply: Reply, tier: Tier) -> Verdict:
    detail = f"worker: {reply.detail}" if reply.detail else "worker"
    match reply.outcome:
        case Outcome.EQUAL:
            return judged(ScoredCause.PASSED, "equal, by the worker", tier)
        case Outcome.WRONG:
            return judged(ScoredCause.WRONG_ANSWER, detail, tier)
        case Outcome.UNREADABLE:
            return judged(ScoredCause.INVALID_RESULT, detail, tier)
        case Outcome.TIME_LIMIT:
            return judged(ScoredCause.TIME_LIMIT, detail, tier)
        case Outcome.MEMORY_LIMIT:
            return judged(ScoredCause.MEMORY_LIMIT, detail, tier)
        case Outcome.CRASH:
            return judged(ScoredCause.CRASH, detail, tier)
        case Outcome.BUG:
            return unscored(UnscoredCause.VERIFIER_BUG, detail, tier)
        case Outcome.READY | Outcome.LOST:
            raise WorkerLost(detail)
        case _:
            assert_never(reply.outcome)
