"""The chances that a rollout meets: a seed from its place in the run."""

import hashlib

from proofloop.store import Phase
from proofloop.train.crew import Assignment


def sample_seed(run_seed: int, assignment: Assignment, sample: int, turn: int = 0) -> int:
    """63 bits.  Held-out seeds leave the step out: every evaluation of one `chances` meets the same
    ones."""
    if assignment.phase is Phase.TRAIN:
        place = f"train {run_seed} {assignment.step} {assignment.slot} {sample}"
    else:
        kind = f"eval seed {assignment.chances}" if assignment.chances else "eval"
        place = f"{kind} {assignment.stratum.label} {assignment.index} {sample}"
    if turn:
        place += f" turn {turn}"
    return int.from_bytes(hashlib.blake2b(place.encode(), digest_size=8).digest(), "big") >> 1
