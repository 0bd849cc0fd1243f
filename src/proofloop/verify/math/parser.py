"""From the text of an answer to a tree.  The whole text must be consumed; what cannot be read is
Unreadable.

Recursive descent with a cap on depth, one token of look-ahead, no backtracking: linear.  What is
ambiguous is refused instead of guessed: `1/2x`, two numerals side by side, `a = b = c`.

    listing   := union ((`,` | `;` | and | or) union)*
    union     := item (`\\cup` item)*
    item      := sum (relation sum)?  |  sum (`:` sum)+
"""

from proofloop.verify.math.build import as_argument, as_expr
from proofloop.verify.math.cursor import END
from proofloop.verify.math.expressions import ExpressionParser
from proofloop.verify.math.tokens import Kind, Token, tokenize
from proofloop.verify.math.tree import (
    Answer,
    Const,
    Expr,
    Interval,
    Listing,
    Matrix,
    Quantity,
    Relation,
    SetOf,
    Sym,
    Tuple,
    Union,
    Unreadable,
)

MAX_ITEMS = 64
_RELATIONS = frozenset(("=", "!=", "<", "<=", ">", ">="))
_MATRICES = frozenset(("matrix", "pmatrix", "bmatrix", "smallmatrix", "array"))


def parse(text: str) -> Answer:
    """Raises Unreadable."""
    tokens = tokenize(text)
    signs = [place for place, token in enumerate(tokens) if token == (Kind.SIGN, "pm", token[2])]
    if not signs:
        return _Parser(tokens).whole()
    if len(signs) > 1:
        raise Unreadable("more than one ±")
    both: list[Answer] = []
    for sign in "+-":
        chosen = list(tokens)
        chosen[signs[0]] = Token(Kind.SIGN, sign, False)
        both.append(_Parser(chosen).whole())
    if isinstance(both[0], Listing):
        raise Unreadable("± beside other answers")
    return Listing(tuple(both))


class _Parser(ExpressionParser):
    """Of one answer."""

    def whole(self) -> Answer:
        if not self.tokens:
            raise Unreadable("no answer")
        answer = self.listing()
        if self.next is not END:
            raise Unreadable(f"{self.next.text[:20]!r} after the answer")
        return answer

    def listing(self) -> Answer:
        items = [self.union()]
        while self.accept(",", ";") or self.sees_word("and", "or"):
            while self.sees_word("and", "or"):
                self.at += 1
            items.append(self.union())
            if len(items) > MAX_ITEMS:
                raise Unreadable(f"more than {MAX_ITEMS} answers")
        return items[0] if len(items) == 1 else Listing(tuple(items))

    def union(self) -> Answer:
        parts = [self.item()]
        while self.accept("cup"):
            parts.append(self.item())
        return parts[0] if len(parts) == 1 else Union(tuple(parts))

    def item(self) -> Answer:
        """An expression, a relation between two, a ratio, or a bracketed answer.  `x \\in S` is
        read as S."""
        first = self.sum()
        if isinstance(first, Sym) and self.accept("in"):
            members = self.item()
            if isinstance(members, Expr) and not isinstance(members, Const):
                raise Unreadable("a member of something that is no set")
            return members
        if self.sees(":"):
            items = [as_expr(first)]
            while self.accept(":"):
                items.append(as_expr(self.sum()))
            return Tuple(tuple(items), ":")
        if self.next.kind is Kind.SIGN and self.next.text in _RELATIONS:
            op = self.take().text
            second = self.sum()
            if self.next.kind is Kind.SIGN and self.next.text in _RELATIONS:
                raise Unreadable("a chain of relations")
            if op == "=" and isinstance(first, Sym) and not isinstance(second, Expr):
                raise Unreadable("a name for something that is no number")
            left, right = as_expr(first), as_expr(second)
            if op.startswith(">"):
                return Relation("<" + op[1:], right, left)
            return Relation(op, left, right)
        return first

    def composite(self, sign: str) -> Answer:
        match sign:
            case "(" | "[":
                return self.bracketed(sign)
            case r"\{":
                return self.members()
            case "langle":
                return Tuple(self.items("rangle"), "<")
            case "emptyset":
                return SetOf(())
            case "begin":
                return self.matrix()
            case _:
                raise Unreadable(f"{sign[:20]!r} where a value should stand")

    def bracketed(self, opening: str) -> Answer:
        """Grouping, a tuple or an interval: by the number of members and the closing bracket."""
        items = [self.item()]
        while self.accept(",", ";"):
            items.append(self.item())
            if len(items) > MAX_ITEMS:
                raise Unreadable(f"more than {MAX_ITEMS} members")
        closing = self.take().text
        if closing not in (")", "]"):
            raise Unreadable(f"{opening!r} that does not close")
        if len(items) == 1:
            if (opening, closing) not in (("(", ")"), ("[", "]")):
                raise Unreadable("brackets that do not match")
            if not isinstance(items[0], Expr | Quantity):
                raise Unreadable("brackets around something that is no expression")
            return items[0]
        if (opening, closing) == ("(", ")"):
            return Tuple(tuple(items), "(")
        if len(items) != 2:
            raise Unreadable("an interval with more than two ends")
        low, high = as_expr(items[0]), as_expr(items[1])
        return Interval(low, high, opening == "[", closing == "]")

    def members(self) -> SetOf:
        if self.accept(r"\}"):
            return SetOf(())
        return SetOf(self.items(r"\}"))

    def items(self, closing: str) -> tuple[Answer, ...]:
        items = [self.item()]
        while self.accept(",", ";"):
            items.append(self.item())
            if len(items) > MAX_ITEMS:
                raise Unreadable(f"more than {MAX_ITEMS} members")
        self.expect(closing)
        return tuple(items)

    def matrix(self) -> Matrix:
        self.expect("{")
        name = ""
        while self.next.kind in (Kind.NAME, Kind.WORD):
            name += self.take().text
        self.expect("}")
        if name not in _MATRICES:
            raise Unreadable("an environment that is no matrix")
        if name == "array" and self.accept("{"):
            while not self.accept("}"):
                if self.take() is END:
                    raise Unreadable("a matrix that does not close")
        rows: list[tuple[Expr, ...]] = []
        row: list[Expr] = []
        while True:
            row.append(as_argument(self.sum()))
            if self.accept("&"):
                continue
            rows.append(tuple(row))
            row = []
            if self.accept("\\\\") and not self.sees("end"):
                continue
            break
        self.expect("end")
        self.expect("{")
        while not self.accept("}"):
            if self.take() is END:
                raise Unreadable("a matrix that does not close")
        if len({len(r) for r in rows}) != 1 or len(rows) * len(rows[0]) > MAX_ITEMS:
            raise Unreadable("a matrix with uneven rows, or too large a one")
        return Matrix(tuple(rows))
