"""How long an episode may be, and what an agent remembers when its context is full."""

from proofloop.core.record import Record


class EpisodeLimits(Record):
    """All of them hold at once.  Turns and tokens make an episode repeatable; seconds and dollars
    do not."""

    max_turns: int = 30
    max_turn_tokens: int = 512
    """Of one completion."""
    max_sampled_tokens: int | None = None
    """Of all of them together."""
    context_tokens: int = 8192
    """Of a context and the completion after it: the model's positions, or fewer."""
    max_seconds: float | None = None
    """Waiting for the policy and its tools."""
    max_cost: float | None = None
    """US dollars, as the policy's server tells or its prices say."""
    max_faults: int = 5
    """Turns in a row without a call that can be read."""


class Memory(Record):
    """When the context is full, the policy is asked for notes, in a turn of its own; the next one
    begins a new context, of the task and these notes."""

    max_notes_tokens: int = 256
    ask: str = (
        "The context is full. Write notes for yourself: what the task needs, what you found, what "
        "is done, what is left. You go on with the task and these notes, and nothing else."
    )
    heading: str = "Notes that you wrote for yourself:"
