"""The panel for whole programs in other languages than Python: the attacks of the languages' cards,
right outputs bent or with a wrong end, and the solution in prose."""

from collections.abc import Collection, Iterator, Sequence

from proofloop.core.language import Language
from proofloop.core.task import ProgramTests
from proofloop.verify.audit.dialects import DIALECTS, ENDINGS
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.program_outputs import MAX_TABLE_BYTES, bent_outputs
from proofloop.verify.cards import languages
from proofloop.verify.cards.card import Card

_COSTLY = frozenset(
    ("spin", "sleep", "hang", "flood", "flood-errors", "memory", "stack", "fork-bomb", "bomb",
     "daemon", "child", "include-zero", "include-itself", "huge-binary", "huge-bss",
     "error-flood", "macros", "constexpr", "templates")
)  # fmt: skip


def language_fixtures(tests: ProgramTests, oracle: str) -> Iterator[Fixture]:
    yield from of_cards(languages.CARDS, tests.language, _COSTLY)
    yield from in_prose(tests.language, oracle)
    dialect = DIALECTS.get(tests.language.name)
    pairs = [(test.stdin, test.stdout) for test in tests.tests]
    if dialect is None or sum(len(a) + len(b) for a, b in pairs) > MAX_TABLE_BYTES:
        return
    for row, name, printed in bent_outputs(tests):
        answer = dialect.printing(printed)
        if answer is not None:
            yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer)
    if any(stdout.strip() for _, stdout in pairs):
        for row, name, costly in ENDINGS:
            answer = dialect.printing(pairs, name)
            if answer is not None:
                yield Fixture(kind=Kind.ATTACK, row=row, name=f"right-then-{name}", answer=answer,
                              costly=costly)  # fmt: skip
    if len({stdin for stdin, _ in pairs}) == len(pairs):
        answer = dialect.printing(pairs)
        if answer is not None:
            yield Fixture(kind=Kind.HONEST, name="by-table", answer=answer)


def of_cards(
    cards: Sequence[Card], language: Language, costly: Collection[str]
) -> Iterator[Fixture]:
    """What was tried on the cards of a language: each is wrong for any other task, too."""
    for card in cards:
        own = getattr(card.tests, "language", None)
        if isinstance(own, Language) and own.name == language.name:
            for case in card.adversarial:
                if case.row:
                    yield Fixture(kind=Kind.ATTACK, row=case.row, name=f"card-{case.name}",
                                  answer=case.answer, costly=case.name in costly)  # fmt: skip


def in_prose(language: Language, oracle: str) -> Iterator[Fixture]:
    """Right answers: the solution among words, blocks and blank lines."""
    tag = language.fences[0] if language.fences else ""
    if "```" in oracle:
        return
    block = f"```{tag}\n{oracle.rstrip()}\n```\n"
    for name, answer in (
        ("fenced", block),
        ("prose-around", f"I think so:\n\n{block}\nIt runs in O(n).\n"),
        ("output-below", f"{block}\nIt prints:\n\n```text\n42\n```\n"),
        ("second-thoughts", f"```{tag}\nno\n```\nNo:\n{block}"),
        ("after-thought", f"<think>\nwith what?\n</think>\n{block}"),
        ("blank-lines", f"\n\n{oracle.rstrip()}\n\n\n"),
    ):
        yield Fixture(kind=Kind.HONEST, name=name, answer=answer)
