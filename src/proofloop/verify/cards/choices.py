"""Cards of choices among given options."""

from proofloop.core.task import ChoiceAnswer, Option
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, fails, passes

_ONE = ChoiceAnswer(
    options=(
        Option(label="A", text="41"),
        Option(label="B", text="42"),
        Option(label="C", text="salt and pepper"),
        Option(label="D", text="-42"),
    ),
    gold=("B",),
)

CARDS: tuple[Card, ...] = (
    Card(
        name="choice",
        tests=_ONE,
        gold="\\boxed{B}",
        accepted=(
            passes("brackets", "a label in brackets", "\\boxed{(B)}"),
            passes("bold", "LaTeX around it", "\\boxed{\\textbf{(B)}}"),
            passes("bold-text", "and its text", "\\boxed{\\textbf{(B) }42}"),
            passes("label-text", "label and text", "The answer is B) 42."),
            passes("colon", "label and text", "A: B: 42"),
            passes("dash", "label and text", "\\boxed{B - 42}"),
            passes("text", "the text alone", "\\boxed{42}"),
            passes("lower", "in lower case", "\\boxed{(b)}"),
            passes("stars", "markdown", "**B**"),
            passes("twice", "the same twice", "\\boxed{B}, thus \\boxed{B}"),
        ),
        rejected=(
            fails("other", "another label", "\\boxed{C}", C.WRONG_ANSWER),
            fails("other-text", "another text", "\\boxed{41}", C.WRONG_ANSWER),
            fails("sign", "another sign", "\\boxed{D) -42}", C.WRONG_ANSWER),
            fails("text-with-and", "a text that holds a separator", "\\boxed{salt and pepper}",
                  C.WRONG_ANSWER),
            fails("no-option", "no such label", "\\boxed{E}", C.INVALID_RESULT),
            fails("no-text", "no such text", "\\boxed{43}", C.INVALID_RESULT),
            fails("garbage", "words that belong to no option", "\\boxed{B) perhaps}",
                  C.INVALID_RESULT),
        ),
        adversarial=(
            fails("two", "A6: two choices", "\\boxed{A and B}", C.CONFLICTING_ANSWERS),
            fails("all", "A6: every choice", "\\boxed{A, B, C, D}", C.CONFLICTING_ANSWERS),
            fails("run", "A6: every letter", "\\boxed{ABCD}", C.INVALID_RESULT),
            fails("or", "A6: one or the other", "\\boxed{(B) or (C)}", C.INVALID_RESULT),
            fails("boxes", "J11: two boxes", "\\boxed{A} \\boxed{B}", C.CONFLICTING_ANSWERS),
            fails("label-other-text", "A6: a label with another's text", "\\boxed{B) 41}",
                  C.CONFLICTING_ANSWERS),
            fails("text-other-label", "A6: the text with another label", "\\boxed{A) 42}",
                  C.CONFLICTING_ANSWERS),
            fails("not", "I: a negation", "\\boxed{not B}", C.INVALID_RESULT),
            fails("in-thoughts", "J13: in the thoughts alone", "<think>\\boxed{B}</think>",
                  C.NO_ANSWER),
        ),
    ),
    Card(
        name="choices",
        tests=ChoiceAnswer(
            options=tuple(Option(label=str(i), text=t) for i, t in enumerate("wxyz", 1)),
            gold=("1", "3"),
        ),
        gold="\\boxed{1, 3}",
        accepted=(
            passes("order", "in any order", "\\boxed{3 and 1}"),
            passes("brackets", "in brackets", "\\boxed{(1), (3)}"),
            passes("texts", "by text", "\\boxed{w, y}"),
            passes("mixed", "by label and text", "\\boxed{1) w; 3) y}"),
            passes("repeated", "one twice names no other", "\\boxed{1, 3, 1}"),
        ),
        rejected=(
            fails("fewer", "I1: all of them", "\\boxed{1}", C.WRONG_ANSWER),
            fails("more", "A6: and no other", "\\boxed{1, 2, 3}", C.WRONG_ANSWER),
            fails("other", "another pair", "\\boxed{1, 4}", C.WRONG_ANSWER),
        ),
        adversarial=(
            fails("all", "A6: every choice", "\\boxed{1, 2, 3, 4}", C.WRONG_ANSWER),
            fails("decimal", "one numeral is no list", "\\boxed{1.3}", C.INVALID_RESULT),
            fails("many", "more than there are", "\\boxed{" + "1, 3, " * 40 + "1}",
                  C.INVALID_RESULT),
        ),
    ),
)  # fmt: skip
