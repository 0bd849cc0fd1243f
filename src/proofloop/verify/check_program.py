"""Tests that are code (`check(candidate)`): run in a process of their own, against a proxy.

The proxy's calls are relayed by this module to the candidate's process and the claimed results,
decoded and re-encoded here, go back as exact built-in values.  So the tests' own equality decides,
on values that carry no code of the candidate's, and the candidate sees inputs only.  The process
that runs the tests is confined as well: a data set's code is nobody's we know.

A pass needs the check to return, after at least one answered call.  Mutable arguments: the
candidate works on a copy.
"""

import hashlib

from proofloop.core import value
from proofloop.core.sandbox import Call, Claim, ClaimKind, Ending, Limits
from proofloop.core.task import CheckProgram
from proofloop.core.verdict import ScoredCause, Tier, UnscoredCause, Verdict
from proofloop.sandbox import ForkServerSandbox, Session, wire
from proofloop.verify.extract import assemble
from proofloop.verify.outcome import (
    DECOY_DETAIL,
    cause_of_claim,
    cause_of_ending,
    describe_claim,
    exception_name,
    scored,
    unscored,
)
from proofloop.verify.tripwires import holds_decoy

CHECKER_LIMITS = Limits(wall_s=20.0, cpu_s=15, memory_bytes=1 << 30, result_bytes=value.MAX_BYTES)
_CHECKER_KINDS = (wire.ASKED, wire.UNENCODABLE, wire.CHECK_PASSED, wire.CHECK_FAILED)


def verify_check(
    sandbox: ForkServerSandbox,
    tests: CheckProgram,
    answer: str,
    prefix: str,
    limits: Limits,
    decoys: bytes = b"",
) -> Verdict:
    """Raises SandboxLost when our side broke."""
    return verdict_and_asked(sandbox, tests, answer, prefix, limits, decoys)[0]


def verdict_and_asked(
    sandbox: ForkServerSandbox,
    tests: CheckProgram,
    answer: str,
    prefix: str,
    limits: Limits,
    decoys: bytes = b"",
) -> tuple[Verdict, tuple[bytes, ...]]:
    """The verdict, and the arguments that the tests called the candidate with (`core.value` bytes
    of tuples), in order.  Raises SandboxLost."""
    source = assemble(answer, prefix, [tests.entry_point])
    if source is None:
        return _fail(ScoredCause.NO_ANSWER, "empty answer", sandbox.tier), ()
    with (
        sandbox.open_session(CHECKER_LIMITS) as checker,
        sandbox.open_session(limits) as candidate,
    ):
        if decoys:
            candidate.queue(wire.DECOYS, decoys)
        relay = _Relay(checker, candidate, tests.entry_point, sandbox.tier, decoys)
        return relay.run(f"{tests.setup}\n{tests.check}", source), tuple(relay.asked)


class _Relay:
    """One check: two processes, and the calls between them."""

    def __init__(
        self, checker: Session, candidate: Session, entry_point: str, tier: Tier, decoys: bytes
    ) -> None:
        self.decoys = decoys
        self.checker = checker
        self.candidate = candidate
        self.entry_point = entry_point
        self.tier = tier
        self.asked: list[bytes] = []
        self.num_answered = 0
        self.raised: str | None = None

    def run(self, test_source: str, source: str) -> Verdict:
        dice = f"__import__('random').seed({_seed(test_source, source)})"
        if not (self.checker.start(dice) and self.checker.start(test_source)):
            return self.checker_ended()
        if not self.candidate.start(source):
            return self.candidate_ended()
        self.checker.queue(wire.CHECK, self.entry_point.encode())
        while True:
            frame = self.checker.receive(_CHECKER_KINDS, 0)
            if frame is None:
                return self.checker_ended()
            kind, _, payload = frame
            if kind == wire.CHECK_PASSED:
                return self.returned()
            if kind == wire.CHECK_FAILED:
                return self.check_failed(payload.decode("utf-8", "replace"))
            if kind == wire.UNENCODABLE:
                return self.bad_arguments()
            verdict = self.relay(payload)
            if verdict is not None:
                return verdict

    def relay(self, args: bytes) -> Verdict | None:
        """One call of the proxy.  A verdict where it decides the whole check."""
        self.asked.append(args)
        call = Call(function=self.entry_point, args=args)
        claim = self.candidate.call(self.num_answered, call)
        if claim is None:
            return self.candidate_ended()
        self.num_answered += 1
        if claim.kind is ClaimKind.RETURNED:
            if holds_decoy(self.decoys, [claim.data]):
                return _fail(ScoredCause.DECOY, DECOY_DETAIL, self.tier)
            try:
                answer = value.encode(value.decode(claim.data))
            except (value.DecodeError, value.EncodeError):
                return self.bad_claim(claim)
            self.raised = None
            self.checker.queue(wire.REPLY, answer)
            return None
        if claim.kind is ClaimKind.RAISED and claim.data != b"MemoryError":
            self.raised = exception_name(claim)
            self.checker.queue(wire.RAISED, self.raised.encode())
            return None
        return self.bad_claim(claim)

    def bad_claim(self, claim: Claim) -> Verdict:
        detail = f"call {self.num_answered}: {describe_claim(claim)}"
        return _fail(cause_of_claim(claim), detail, self.tier)

    def returned(self) -> Verdict:
        if not self.num_answered:
            return self.invalid_key("the tests passed without calling the candidate")
        detail = f"the check passed after {self.num_answered} calls"
        return scored(ScoredCause.PASSED, detail, self.tier, num_passed=1, num_planned=1)

    def check_failed(self, error: str) -> Verdict:
        """An exception other than a failed assertion is still the answer's: a value of an odd type
        makes comparisons raise.  Before the first answer it can only be the tests' own."""
        if not self.num_answered:
            return self.invalid_key(f"the tests raised {error} before calling the candidate")
        if error == self.raised:
            detail = f"call {self.num_answered}: raised {error}"
            return _fail(ScoredCause.EXCEPTION, detail, self.tier)
        detail = f"{error} in the check after {self.num_answered} calls"
        return _fail(ScoredCause.WRONG_ANSWER, detail, self.tier)

    def bad_arguments(self) -> Verdict:
        """Once the candidate has answered, its values may be part of what is passed on."""
        problem = "the tests pass arguments that are not plain positional values"
        if not self.num_answered:
            return self.invalid_key(problem)
        return _fail(ScoredCause.INVALID_RESULT, problem, self.tier)

    def candidate_ended(self) -> Verdict:
        ending, detail = self.candidate.ending or Ending.PROTOCOL, self.candidate.detail
        text = f"{ending} after {self.num_answered} calls: {detail}"
        return _fail(cause_of_ending(ending, detail), text, self.tier)

    def checker_ended(self) -> Verdict:
        """The tests' own process ended early.  Its wall clock is ours.  Anything else is the key's
        fault before the first answer and the answer's after it: with the oracle's answers it ends
        well (`validate`), and an answer may be a number that the tests count up to."""
        ending, detail = self.checker.ending or Ending.PROTOCOL, self.checker.detail
        if ending is Ending.TIME_LIMIT:
            if self.num_answered and self.checker.used_up_cpu:
                text = f"the check, after {self.num_answered} calls: {detail}"
                return _fail(ScoredCause.TIME_LIMIT, text, self.tier)
            return unscored(UnscoredCause.JUDGE_DEADLINE, f"the check: {detail}", self.tier)
        if not self.num_answered:
            return self.invalid_key(f"the tests do not run: {ending}, {detail}")
        text = f"the check ended by {ending} after {self.num_answered} calls: {detail}"
        return _fail(ScoredCause.WRONG_ANSWER, text, self.tier)

    def invalid_key(self, detail: str) -> Verdict:
        return unscored(UnscoredCause.INVALID_KEY, detail, self.tier)


def _seed(test_source: str, source: str) -> int:
    """For tests that draw their inputs.  Every process of the fork-server starts from one random
    state, so a candidate would draw the same and need not read what it is given.  The same for the
    same question and answer: a verdict can be had again."""
    text = f"{test_source}\0{source}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def _fail(cause: ScoredCause, detail: str, tier: Tier) -> Verdict:
    return scored(cause, detail, tier, num_passed=0, num_planned=1)
