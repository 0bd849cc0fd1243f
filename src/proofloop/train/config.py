"""Closed choices of training that recipes name; loads no torch."""

from enum import StrEnum


class LossKind(StrEnum):
    """Policy-gradient losses (`train.losses`)."""

    CISPO = "cispo"
    CLIP_HIGHER = "clip_higher"
