"""Token by token: what a person sees of a rollout."""

from io import StringIO

from rich.console import Console

from proofloop.measure.peek import Peek, Role, TokenRow, peek_table
from proofloop.measure.text import one_token, printable

ROWS = (
    TokenRow(position=0, token=5, text="assert ", role=Role.CONTEXT, trained=False),
    TokenRow(
        position=1, token=7, text="[bold]\n", role=Role.SAMPLED, trained=True,
        sampler_logprob=-0.5, trainer_logprob=-0.50001, entropy=0.25, advantage=0.75,
    ),
    TokenRow(
        position=2, token=0, text="", role=Role.SAMPLED, trained=True,
        sampler_logprob=-0.125, entropy=0.5, advantage=0.75,
    ),
)  # fmt: skip


def peek(advantage: float | None) -> Peek:
    return Peek(
        rollout_id="train-3-0-1", task_id="t@ab", step=3, verdict="passed", reward=1.0,
        detail="\x1b[2J", advantage=advantage, tokens=ROWS,
    )  # fmt: skip


def shown(value: Peek) -> str:
    console = Console(file=StringIO(), width=140)
    console.print(peek_table(value))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_every_token_has_a_line_with_what_it_weighs():
    text = shown(peek(0.75))
    assert "assert␠" in text
    assert "[bold]⏎" in text  # neither markup nor a line break
    assert "-0.5000" in text
    assert "1.0e-05" in text
    assert "+0.750" in text
    assert "1 context + 2 sampled tokens, 2 train; largest sampler–trainer gap 1.0e-05" in text
    assert "\x1b" not in text


def test_a_rollout_that_does_not_train_says_so():
    assert "does not train" in shown(peek(None))


def test_gaps_are_known_only_where_the_trainer_was_asked():
    assert [row.gap is None for row in ROWS] == [True, False, True]
    assert Peek(
        rollout_id="r", task_id="t", step=0, verdict="crash", reward=0.0, detail="",
        advantage=None, tokens=(),
    ).max_gap is None  # fmt: skip


def test_invisible_characters_are_written_out():
    assert one_token(" a\n\t\r\x00\u202e\U000e0041") == "␠a⏎⇥␍\\x00\\u202e\\U000e0041"
    assert printable("a\n\tb\x07é") == "a\n    b\\x07é"
    assert printable("x" * 12, max_chars=10) == "x" * 10 + "\n… 2 more characters"
