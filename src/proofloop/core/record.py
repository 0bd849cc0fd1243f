"""The base of every record that is stored, sent or configured."""

from typing import dataclass_transform

import msgspec


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable, complete when built, and strict: an unknown field is an error, not a surprise.

    A later stage of the pipeline makes a new type instead of filling in an old one.
    """
