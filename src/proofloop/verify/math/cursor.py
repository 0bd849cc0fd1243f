"""A place in the tokens of one answer, and how deep it is in brackets and commands."""

from collections.abc import Sequence

from proofloop.verify.math.tokens import Kind, Token
from proofloop.verify.math.tree import Unreadable

MAX_DEPTH = 60
END = Token(Kind.END, "", False)


class Cursor:
    """One token of look-ahead; `expect` and `deeper` raise Unreadable."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else END

    def take(self) -> Token:
        token = self.next
        self.at += 1
        return token

    def sees(self, *signs: str) -> bool:
        token = self.next
        return token.kind is Kind.SIGN and token.text in signs

    def accept(self, *signs: str) -> bool:
        if self.sees(*signs):
            self.at += 1
            return True
        return False

    def expect(self, sign: str) -> None:
        if not self.accept(sign):
            raise Unreadable(f"{sign!r} is missing before {self.next.text[:20] or 'the end'!r}")

    def sees_word(self, *words: str) -> bool:
        return self.next.kind is Kind.WORD and self.next.text.lower() in words

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")
