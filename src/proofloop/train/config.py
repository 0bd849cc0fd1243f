"""Closed choices of training that recipes name; loads no torch."""

from enum import StrEnum


class LossKind(StrEnum):
    """Policy-gradient losses (`train.losses`)."""

    CISPO = "cispo"
    CLIP_HIGHER = "clip_higher"


class Schedule(StrEnum):
    """How the learning rate goes on after the warm-up."""

    CONSTANT = "constant"
    SIGNAL = "signal"
    """In proportion to the gradient's share of signal (`train.optimiser`)."""
