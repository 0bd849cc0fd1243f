"""The part of the grammar below answers: sums, products, powers, functions, LaTeX's commands.

    sum       := [+-] product ([+-] product)*
    product   := power ((* | / | nothing) power)*  unit?
    power     := atom ([!%] | ^ exponent)*

An atom may turn out to be a bracketed answer, a tuple say; operators refuse those.
"""

from collections.abc import Sequence

from proofloop.verify.math.atoms import AtomParser
from proofloop.verify.math.build import (
    as_expr,
    negated,
    product,
    quotient,
    times,
)
from proofloop.verify.math.numerals import integer_of, read_numeral
from proofloop.verify.math.tokens import Kind
from proofloop.verify.math.tree import (
    Add,
    Answer,
    Call,
    Expr,
    Notation,
    Num,
    Pow,
    Quantity,
    Unit,
    Unreadable,
)
from proofloop.verify.math.units import DEGREE, DOLLAR, read_unit

MAX_DIVISIONS = 8
"""In one product: each nests the tree by one."""


class ExpressionParser(AtomParser):
    """Every method takes what it reads, or raises Unreadable."""

    def sum(self) -> Answer:
        """A unit after the last term is the whole sum's."""
        self.deeper()
        first = self.signed()
        if isinstance(first, Expr) and self.sees("+", "-"):
            terms = [first]
            unit: Unit | None = None
            while unit is None and self.sees("+", "-"):
                is_negative = self.take().text == "-"
                term = self.product()
                if isinstance(term, Quantity):
                    term, unit = term.amount, term.unit
                terms.append(negated(as_expr(term)) if is_negative else as_expr(term))
            total = Add(tuple(terms))
            first = total if unit is None else Quantity(total, unit)
        self.depth -= 1
        return first

    def signed(self) -> Answer:
        if self.accept("-"):
            body = self.product()
            if isinstance(body, Quantity):
                return Quantity(negated(body.amount), body.unit)
            return negated(as_expr(body))
        self.accept("+")
        return self.product()

    def product(self) -> Answer:
        if self.accept("$"):
            return Quantity(as_expr(self.product()), DOLLAR)
        first = self.power()
        if not isinstance(first, Expr):
            return first
        node = as_expr(first)
        factors: list[Expr] = [node]
        divided, num_divisions = False, 0
        while True:
            if self.accept("*"):
                right = as_expr(self.factor())
                divided = False
            elif self.accept("/"):
                denominator = as_expr(self.factor())
                factors = [quotient(product(factors), denominator)]
                divided = True
                num_divisions += 1
                if num_divisions > MAX_DIVISIONS:
                    raise Unreadable(f"more than {MAX_DIVISIONS} divisions in a row")
                continue
            elif self.starts_atom():
                if divided:
                    raise Unreadable("a product after a division, without brackets")
                mixed = self.mixed(factors)
                if mixed is not None:
                    factors = [mixed]
                    continue
                if self.next.kind is Kind.NUMBER:
                    raise Unreadable("a numeral after something else, without an operator")
                right = as_expr(self.power())
                if isinstance(right, Num) and isinstance(factors[-1], Num):
                    raise Unreadable("two numerals side by side")
            else:
                break
            factors = times(factors, right)
        return self.with_unit(product(factors))

    def factor(self) -> Answer:
        """What may follow `*` or `/`: a power, or a negated one in no brackets."""
        return negated(as_expr(self.power())) if self.accept("-") else self.power()

    def mixed(self, factors: Sequence[Expr]) -> Num | None:
        """12\\frac{3}{5} or 12 3/5, where an integer and a proper fraction stand side by side."""
        whole = integer_of(factors[0]) if len(factors) == 1 else None
        if whole is None:
            return None
        start = self.at
        if self.sees("frac"):
            fraction = self.power()
        elif self.next.kind is Kind.NUMBER and self.next.spaced:
            top = read_numeral(self.take().text)
            if not self.accept("/") or self.next.kind is not Kind.NUMBER:
                raise Unreadable("two numerals side by side")
            fraction = quotient(top, read_numeral(self.take().text))
        else:
            return None
        if isinstance(fraction, Num) and fraction.notation is Notation.FRACTION:
            if not 0 < fraction.value < 1:
                raise Unreadable("an integer beside an improper fraction")
            return Num(whole + fraction.value, Notation.MIXED)
        self.at = start
        return None

    def with_unit(self, amount: Expr) -> Answer:
        words: list[str] = []
        start = self.at
        while True:
            if self.next.kind is Kind.WORD and not self.sees_word("and", "or"):
                words += self.take().text.replace("/", " / ").replace("^", " ^ ").split()
            elif words and self.sees("/", "^"):
                words.append(self.take().text)
                if self.next.kind is Kind.NUMBER:
                    words.append(self.take().text)
                elif self.accept("{"):
                    words.append(self.take().text)
                    self.expect("}")
            else:
                break
        if self.at == start:
            return amount
        return Quantity(amount, read_unit(words))

    def power(self) -> Answer:
        node = self.atom()
        while True:
            if self.accept("!"):
                if self.sees("!"):
                    raise Unreadable("a factorial of a factorial, or a double one")
                node = Call("factorial", (as_expr(node),))
            elif self.accept("%"):
                if not isinstance(node, Num) or node.notation is Notation.PERCENT:
                    raise Unreadable("a percent sign after something that is no numeral")
                node = Num(node.value / 100, Notation.PERCENT)
            elif self.accept("^"):
                if self.degree_sign():
                    return Quantity(as_expr(node), DEGREE)
                node = Pow(as_expr(node), self.exponent())
                if self.sees("^"):
                    raise Unreadable("a tower of powers without brackets")
            else:
                return node

    def degree_sign(self) -> bool:
        if self.accept("circ"):
            return True
        ahead = [t.text for t in self.tokens[self.at : self.at + 3]]
        if ahead == ["{", "circ", "}"]:
            self.at += 3
            return True
        return False

    def exponent(self) -> Expr:
        """In braces or brackets, or one atom.  TeX would take one digit of `x^10`; models mean
        all of it."""
        if self.accept("-"):
            return negated(as_expr(self.atom()))
        return as_expr(self.atom())
