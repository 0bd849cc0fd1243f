"""The cards of all kinds of check.  A new kind of tests has a module here and a line below; a test
holds that every member of `core.task.Tests` has a card."""

from proofloop.verify.cards import (
    calls,
    choices,
    composites,
    declared,
    file_trees,
    json_answers,
    languages,
    math_answers,
    programs,
    sql,
    text_answers,
)
from proofloop.verify.cards.card import Card, Case

CARDS: tuple[Card, ...] = (
    *calls.CARDS,
    *declared.CARDS,
    *programs.CARDS,
    *languages.CARDS,
    *file_trees.CARDS,
    *math_answers.CARDS,
    *text_answers.CARDS,
    *choices.CARDS,
    *json_answers.CARDS,
    *sql.CARDS,
    *composites.CARDS,
)

__all__ = ["CARDS", "Card", "Case"]
