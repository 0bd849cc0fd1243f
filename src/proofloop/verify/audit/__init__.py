"""The audit: executable attacks that must all fail, honest oddities that must all pass, mutants of
the oracle that the hidden tests must notice, verdicts that must not move.

An attack here is a program that is wrong, and that some grader in use would have passed.  They are
fixtures for our own grader and run in its sandbox; what one does outside of it is kept harmless: no
network beyond loopback, no files but ones of its own in the working directory, signals that are
ignored by default, processes by the handful.
"""

from proofloop.verify.audit.attack import Attack, Family, NaiveRule
from proofloop.verify.audit.attacks import ATTACKS
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.honest import ODDITIES
from proofloop.verify.audit.mutants import Mutant, mutants
from proofloop.verify.audit.panel import Trial, TrialRow, row_of, run_panel, trials
from proofloop.verify.audit.stability import Variation, variations

__all__ = [
    "ATTACKS",
    "ODDITIES",
    "Attack",
    "Family",
    "Fixture",
    "Kind",
    "Mutant",
    "NaiveRule",
    "Trial",
    "TrialRow",
    "Variation",
    "mutants",
    "row_of",
    "run_panel",
    "trials",
    "variations",
]
