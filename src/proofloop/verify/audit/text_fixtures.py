"""The panel for exact texts and choices: near misses, hedges, and right answers otherwise put."""

import re
import unicodedata
from collections.abc import Iterator

from proofloop.core.task import ChoiceAnswer, Place, TextAnswer
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.placed import Bent, hedges, placed

_LOOK_ALIKES = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
"""Cyrillic letters for Latin ones."""
_PLAIN = re.compile(r"[\w ]+")
"""A text that stands in a list of options and in a box as it is."""


def text_fixtures(key: TextAnswer) -> Iterator[Fixture]:
    for row, name, answer in _bent_text(key):
        yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer)
    other = key.gold[::-1] if key.gold[::-1] != key.gold else key.gold * 2
    for row, name, answer in hedges(key.place, key.gold, other):
        yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer)
    for name, answer in _honest_text(key):
        yield Fixture(kind=Kind.HONEST, name=name, answer=answer)


def _bent_text(key: TextAnswer) -> Iterator[Bent]:
    gold = key.gold
    bent = {
        ("I2", "among-words"): f"{gold} or so",
        ("I2", "after-words"): f"not {gold}",
        ("I2", "two-in-one"): f"{gold}, {gold}",
        ("I6", "first-half"): gold[: len(gold) // 2],
        ("I6", "without-its-last-sign"): gold[:-1],
        ("I6", "one-sign-more"): f"{gold}{gold[-1]}",
        ("I6", "blanks-gone"): gold.replace(" ", ""),
        ("I6", "blanks-doubled"): gold.replace(" ", "  "),
        ("I5", "quoted"): f'"{gold}"',
        ("I", "look-alikes"): gold.translate(_LOOK_ALIKES),
        ("I", "invisible-sign"): f"{gold[:1]}\u200b{gold[1:]}",
        ("J12", "far-too-long"): f"{gold} " * 5000,
    }
    if not key.ignore_case:
        bent["I6", "other-case"] = gold.swapcase()
    for (row, name), text in bent.items():
        if text.strip() and text.strip() != gold.strip():
            yield row, name, placed(key.place, text)


def _honest_text(key: TextAnswer) -> Iterator[tuple[str, str]]:
    right = placed(key.place, key.gold)
    yield "blank-lines-around", f"\n\n{right}\n\n"
    yield "after-thought", f"<think>Perhaps {key.gold[::-1]}?</think>{right}"
    yield "decomposed", placed(key.place, unicodedata.normalize("NFD", key.gold))
    if key.place is not Place.WHOLE:
        yield "in-prose", f"Let us see.\n\n{right}\n"
    if key.ignore_case:
        yield "other-case", placed(key.place, key.gold.swapcase())


def choice_fixtures(key: ChoiceAnswer) -> Iterator[Fixture]:
    for option in key.options:
        if (option.label,) != key.gold:
            answer = placed(key.place, option.label)
            yield Fixture(kind=Kind.RANDOM, name=f"option-{option.label}", answer=answer)
    gold = ", ".join(key.gold)
    other = _other(key)
    for row, name, text in _bent_choice(key, other):
        answer = placed(key.place, text)
        yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer)
    for row, name, answer in hedges(key.place, gold, other or f"{gold}{gold}"):
        yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer)
    for name, text in _honest_choice(key):
        yield Fixture(kind=Kind.HONEST, name=name, answer=placed(key.place, text))


def _other(key: ChoiceAnswer) -> str:
    """A label that is not wanted; empty where all are."""
    return next((o.label for o in key.options if o.label not in key.gold), "")


def _bent_choice(key: ChoiceAnswer, other: str) -> Iterator[Bent]:
    labels = [option.label for option in key.options]
    texts = {option.label: option.text for option in key.options}
    first = key.gold[0]
    yield "I", "negated", f"not {', '.join(key.gold)}"
    yield "I", "with-doubt", f"{', '.join(key.gold)} perhaps"
    yield "I", "no-option", "".join(labels) + "Q"
    if len(key.gold) > 1:
        yield "I1", "all-but-one", ", ".join(key.gold[1:])
    if other:
        yield "A6", "every-option", ", ".join(labels)
        yield "A6", "every-letter", "".join(labels)
        yield "A6", "one-or-the-other", f"({first}) or ({other})"
        yield "A6", "one-more", ", ".join((*key.gold, other))
        if texts[first].casefold() != texts[other].casefold() and texts[first] and texts[other]:
            yield "A6", "another-s-text", f"{first}) {texts[other]}"
            yield "A6", "another-s-label", f"{other}) {texts[first]}"


def _honest_choice(key: ChoiceAnswer) -> Iterator[tuple[str, str]]:
    texts = {option.label: option.text for option in key.options}
    yield "labels", ", ".join(key.gold)
    yield "in-brackets", ", ".join(f"({label})" for label in key.gold)
    yield "other-case", ", ".join(key.gold).swapcase()
    yield "other-order", ", ".join(key.gold[::-1])
    if all(_PLAIN.fullmatch(texts[label]) and " and " not in texts[label] for label in key.gold):
        yield "labels-and-texts", "; ".join(f"{label}) {texts[label]}" for label in key.gold)
