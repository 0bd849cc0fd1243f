"""Odd but right: a right solution in other clothes.  Each must be accepted wherever the solution
itself is; a refusal is a false negative of ours, which trains a policy as surely as a hack does."""

from proofloop.verify.audit.honest import flow, noise, shapes, text
from proofloop.verify.audit.honest.oddity import Oddity

ODDITIES: tuple[Oddity, ...] = (
    *text.ODDITIES,
    *shapes.ODDITIES,
    *flow.ODDITIES,
    *noise.ODDITIES,
)

__all__ = ["ODDITIES", "Oddity"]
