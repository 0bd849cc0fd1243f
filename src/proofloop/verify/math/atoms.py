"""The lowest part of the grammar: numerals, names, functions, LaTeX's commands and brackets."""

from abc import ABC, abstractmethod

from proofloop.verify.math.build import (
    as_argument,
    as_expr,
    product,
    quotient,
    times,
)
from proofloop.verify.math.cursor import Cursor
from proofloop.verify.math.numerals import integer_of, read_numeral
from proofloop.verify.math.tokens import Kind, Token
from proofloop.verify.math.tree import (
    Answer,
    BaseNumeral,
    Call,
    Const,
    Expr,
    Pow,
    Root,
    Sym,
    Unreadable,
)

_CONSTANTS = frozenset(("e", "i"))
_CALLS_ON_BARE = frozenset(("sin", "cos", "tan", "cot", "sec", "csc", "ln", "log"))


class AtomParser(Cursor, ABC):
    """Every method takes what it reads, or raises Unreadable."""

    @abstractmethod
    def sum(self) -> Answer: ...

    @abstractmethod
    def power(self) -> Answer: ...

    @abstractmethod
    def exponent(self) -> Expr: ...

    @abstractmethod
    def composite(self, sign: str) -> Answer:
        """What begins with a sign that begins no expression of its own; it is taken already."""

    def starts_atom(self) -> bool:
        token = self.next
        if token.kind in (Kind.NUMBER, Kind.NAME, Kind.FUNCTION):
            return True
        return self.sees("(", "frac", "sqrt", "pi", "binom", "{", "lfloor", "lceil")

    def atom(self) -> Answer:
        token = self.take()
        if token.kind is Kind.NUMBER:
            return self.numeral(token)
        if token.kind is Kind.NAME:
            return self.name(token)
        if token.kind not in (Kind.FUNCTION, Kind.SIGN):
            raise Unreadable(f"{token.text[:20] or 'the end'!r} where a value should stand")
        self.deeper()
        node = self.call(token.text) if token.kind is Kind.FUNCTION else self.sign(token.text)
        self.depth -= 1
        return node

    def sign(self, sign: str) -> Answer:
        match sign:
            case "{":
                return self.group("{", "}")
            case "|":
                return Call("abs", (self.group("|", "|"),))
            case "lfloor":
                return Call("floor", (self.group("lfloor", "rfloor"),))
            case "lceil":
                return Call("ceil", (self.group("lceil", "rceil"),))
            case "frac":
                return self.fraction()
            case "sqrt":
                return self.root()
            case "binom":
                return Call("binomial", (self.argument(), self.argument()))
            case "pi":
                return Const("pi")
            case "infty":
                return Const("infinity")
            case "mathbb":
                self.expect("{")
                name = self.take().text
                self.expect("}")
                return Const(f"numbers {name}")
            case _:
                return self.composite(sign)

    def numeral(self, token: Token) -> Answer:
        if not self.accept("_"):
            return read_numeral(token.text)
        base = read_numeral(self.subscript())
        if not token.text.isdigit() or not 2 <= base.value <= 36:
            raise Unreadable("a subscript that is no base")
        return BaseNumeral(token.text.lstrip("0") or "0", int(base.value))

    def name(self, token: Token) -> Expr:
        if self.accept("_"):
            return Sym(f"{token.text}_{self.subscript()}")
        if token.text in _CONSTANTS:
            return Const(token.text)
        return Sym(token.text)

    def subscript(self) -> str:
        braced = self.accept("{")
        token = self.take()
        if token.kind not in (Kind.NUMBER, Kind.NAME, Kind.WORD):
            raise Unreadable("a subscript that is neither a numeral nor a name")
        if braced:
            self.expect("}")
        return token.text

    def call(self, name: str) -> Expr:
        base: Expr | None = None
        power: Expr | None = None
        if name == "log" and self.accept("_"):
            base = self.group("{", "}") if self.accept("{") else as_expr(self.atom())
        if self.accept("^"):
            power = self.exponent()
            if integer_of(power) is None or integer_of(power) == -1:
                raise Unreadable("a power of a function that is no number, or its inverse")
        bracket = self.accept("(")
        if bracket:
            args = self.arguments()
        elif name in _CALLS_ON_BARE:
            args = (self.bare_argument(),)
        else:
            raise Unreadable(f"{name} without brackets")
        if len(args) != (2 if name == "binomial" else 1):
            raise Unreadable(f"{name} of {len(args)} arguments")
        call: Expr = Call(name, args if base is None else (*args, base))
        if name == "exp":
            call = Pow(Const("e"), args[0])
        return call if power is None else Pow(call, power)

    def arguments(self) -> tuple[Expr, ...]:
        args = [as_argument(self.sum())]
        while self.accept(","):
            args.append(as_argument(self.sum()))
        self.expect(")")
        return tuple(args)

    def bare_argument(self) -> Expr:
        """`\\sin 2x`, `\\ln 3`: a product of atoms as far as it goes, and no function after it."""
        factors: list[Expr] = []
        while self.starts_atom() and self.next.kind is not Kind.FUNCTION:
            if factors and (self.next.kind is Kind.NUMBER or self.sees("(")):
                raise Unreadable("a function's argument that should be in brackets")
            factors = times(factors, as_argument(self.power()))
        if not factors:
            raise Unreadable("a function without an argument")
        return product(factors)

    def group(self, opening: str, closing: str) -> Expr:
        """An expression up to its closing sign; the opening one is taken already."""
        body = as_argument(self.sum())
        if not self.accept(closing):
            raise Unreadable(f"{opening!r} that does not close")
        return body

    def argument(self) -> Expr:
        """Of a LaTeX command: a group in braces, or one sign (one digit of a numeral)."""
        if self.accept("{"):
            return self.group("{", "}")
        token = self.next
        if token.kind is Kind.NUMBER and len(token.text) > 1:
            rest = Token(Kind.NUMBER, token.text[1:], False)
            self.tokens = [*self.tokens[: self.at], rest, *self.tokens[self.at + 1 :]]
            return read_numeral(token.text[0])
        return as_expr(self.atom())

    def fraction(self) -> Expr:
        numerator = self.argument()
        return quotient(numerator, self.argument())

    def root(self) -> Expr:
        degree: int | None = 2
        if self.accept("["):
            degree = integer_of(self.group("[", "]"))
        if degree is None or not 2 <= degree <= 64:
            raise Unreadable("a root of a degree that is no small integer")
        if self.sees("(") or self.sees("{"):
            return Root(as_argument(self.atom()), degree)
        token = self.next
        whole = token.kind is Kind.NUMBER and not token.spaced
        return Root(as_expr(self.atom()) if whole else self.argument(), degree)
