"""The base of every record that is stored, sent or configured."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Immutable, complete when built, and strict: an unknown field is an error, not a surprise.

    A later stage of the pipeline makes a new type instead of filling in an old one.
    """
