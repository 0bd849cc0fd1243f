"""From tokens to a tree.  The whole text must be consumed; what cannot be read is Unreadable.

Recursive descent with a cap on depth, one token of look-ahead, no backtracking: linear.  What is
ambiguous is refused instead of guessed: `1/2x`, two numerals side by side, `a = b = c`.

    answer    := part (`\\cup` part)*                    union
    listing   := item ((`,` | `;` | and | or) item)*
    item      := sum (relation sum)?  |  sum `:` sum …   ratio
    sum       := [+-] product ([+-] product)*
    product   := power ((* | / | nothing) power)*  unit?
    power     := atom ([!%] | ^ exponent)*
"""

from collections.abc import Sequence
from fractions import Fraction

from proofloop.verify.math.numerals import integer_of, read_numeral, scaled
from proofloop.verify.math.tokens import Kind, Token, tokenize
from proofloop.verify.math.tree import (
    Add,
    Answer,
    BaseNumeral,
    Call,
    Const,
    Div,
    Expr,
    Interval,
    Listing,
    Matrix,
    Mul,
    Neg,
    Notation,
    Num,
    Pow,
    Quantity,
    Relation,
    Root,
    SetOf,
    Sym,
    Tuple,
    Union,
    Unreadable,
)
from proofloop.verify.math.units import DEGREE, DOLLAR, read_unit

MAX_DEPTH = 60
MAX_DIVISIONS = 8
"""In one product: each nests the tree by one."""
MAX_ITEMS = 64
_END = Token(Kind.END, "", False)
_RELATIONS = frozenset(("=", "!=", "<", "<=", ">", ">="))
_SEPARATORS = frozenset((",", ";"))
_CONSTANTS = {"e": "e", "i": "i"}
_MATRICES = frozenset(("matrix", "pmatrix", "bmatrix", "smallmatrix", "array"))
_CALLS_ON_BARE = frozenset(("sin", "cos", "tan", "cot", "sec", "csc", "ln", "log"))


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


class _Parser:
    """A cursor over the tokens of one answer."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else _END

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

    # -- answers ---------------------------------------------------------------------------

    def whole(self) -> Answer:
        if not self.tokens:
            raise Unreadable("no answer")
        answer = self.listing()
        if self.next is not _END:
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
            return self.item()
        if self.sees(":"):
            items = [_expr(first)]
            while self.accept(":"):
                items.append(_expr(self.sum()))
            return Tuple(tuple(items), ":")
        if self.next.kind is Kind.SIGN and self.next.text in _RELATIONS:
            op = self.take().text
            second = self.sum()
            if self.next.kind is Kind.SIGN and self.next.text in _RELATIONS:
                raise Unreadable("a chain of relations")
            if op == "=" and isinstance(first, Sym) and not isinstance(second, Expr):
                raise Unreadable("a name for something that is no number")
            left, right = _expr(first), _expr(second)
            if op.startswith(">"):
                return Relation("<" + op[1:], right, left)
            return Relation(op, left, right)
        return first

    # -- expressions -----------------------------------------------------------------------

    def sum(self) -> Answer:
        self.deeper()
        first = self.signed()
        if self.sees("+", "-"):
            terms = [_expr(first)]
            while self.sees("+", "-"):
                negative = self.take().text == "-"
                term = _expr(self.product())
                terms.append(_negated(term) if negative else term)
            first = Add(tuple(terms))
        self.depth -= 1
        return first

    def signed(self) -> Answer:
        if self.accept("-"):
            body = self.product()
            if isinstance(body, Quantity):
                return Quantity(_negated(body.amount), body.unit)
            return _negated(_expr(body))
        self.accept("+")
        return self.product()

    def product(self) -> Answer:
        if self.accept("$"):
            return Quantity(_expr(self.product()), DOLLAR)
        first = self.power()
        if not isinstance(first, Expr):
            return first
        node = _expr(first)
        factors = [node]
        divided, num_divisions = False, 0
        while True:
            if self.accept("*"):
                right = _expr(self.factor())
                divided = False
            elif self.accept("/"):
                denominator = _expr(self.factor())
                factors = [_quotient(_product(factors), denominator)]
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
                right = _expr(self.power())
                if isinstance(right, Num) and isinstance(factors[-1], Num):
                    raise Unreadable("two numerals side by side")
            else:
                break
            factors = _times(factors, right)
        return self.with_unit(_product(factors))

    def factor(self) -> Answer:
        """What may follow `*` or `/`: a power, or a negated one in no brackets."""
        return _negated(_expr(self.power())) if self.accept("-") else self.power()

    def mixed(self, factors: list[Expr]) -> Num | None:
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
            fraction = _quotient(top, read_numeral(self.take().text))
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

    def starts_atom(self) -> bool:
        token = self.next
        if token.kind in (Kind.NUMBER, Kind.NAME, Kind.FUNCTION):
            return True
        return self.sees("(", "frac", "sqrt", "pi", "binom", "{", "lfloor", "lceil")

    def power(self) -> Answer:
        node = self.atom()
        while True:
            if self.accept("!"):
                if self.sees("!"):
                    raise Unreadable("a factorial of a factorial, or a double one")
                node = Call("factorial", (_expr(node),))
            elif self.accept("%"):
                if not isinstance(node, Num) or node.notation is Notation.PERCENT:
                    raise Unreadable("a percent sign after something that is no numeral")
                node = Num(node.value / 100, Notation.PERCENT)
            elif self.accept("^"):
                if self.degree_sign():
                    return Quantity(_expr(node), DEGREE)
                node = Pow(_expr(node), self.exponent())
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
            return _negated(_expr(self.atom()))
        return _expr(self.atom())

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

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"nested more than {MAX_DEPTH} deep")

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
            return Const(_CONSTANTS[token.text])
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
            base = self.group("{", "}") if self.accept("{") else _expr(self.atom())
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
        args = [_argument(self.sum())]
        while self.accept(","):
            args.append(_argument(self.sum()))
        self.expect(")")
        return tuple(args)

    def bare_argument(self) -> Expr:
        """`\\sin 2x`, `\\ln 3`: a product of atoms as far as it goes, and no function after it."""
        factors: list[Expr] = []
        while self.starts_atom() and self.next.kind is not Kind.FUNCTION:
            if factors and (self.next.kind is Kind.NUMBER or self.sees("(")):
                raise Unreadable("a function's argument that should be in brackets")
            factors = _times(factors, _argument(self.power()))
        if not factors:
            raise Unreadable("a function without an argument")
        return _product(factors)

    def sign(self, sign: str) -> Answer:
        match sign:
            case "(" | "[":
                return self.bracketed(sign)
            case "{":
                return self.group("{", "}")
            case r"\{":
                return self.members()
            case "langle":
                return Tuple(self.items("rangle"), "<")
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
            case "emptyset":
                return SetOf(())
            case "mathbb":
                self.expect("{")
                name = self.take().text
                self.expect("}")
                return Const(f"numbers {name}")
            case "begin":
                return self.matrix()
            case _:
                raise Unreadable(f"{sign[:20]!r} where a value should stand")

    def group(self, opening: str, closing: str) -> Expr:
        """An expression up to its closing sign; the opening one is taken already."""
        body = _argument(self.sum())
        if not self.accept(closing):
            raise Unreadable(f"{opening!r} that does not close")
        return body

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
        low, high = _expr(items[0]), _expr(items[1])
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

    def argument(self) -> Expr:
        """Of a LaTeX command: a group in braces, or one sign (one digit of a numeral)."""
        if self.accept("{"):
            return self.group("{", "}")
        token = self.next
        if token.kind is Kind.NUMBER and len(token.text) > 1:
            rest = Token(Kind.NUMBER, token.text[1:], False)
            self.tokens = [*self.tokens[: self.at], rest, *self.tokens[self.at + 1 :]]
            return read_numeral(token.text[0])
        return _expr(self.atom())

    def fraction(self) -> Expr:
        numerator = self.argument()
        return _quotient(numerator, self.argument())

    def root(self) -> Expr:
        degree: int | None = 2
        if self.accept("["):
            degree = integer_of(self.group("[", "]"))
        if degree is None or not 2 <= degree <= 64:
            raise Unreadable("a root of a degree that is no small integer")
        if self.sees("(") or self.sees("{"):
            return Root(_argument(self.atom()), degree)
        token = self.next
        whole = token.kind is Kind.NUMBER and not token.spaced
        return Root(_expr(self.atom()) if whole else self.argument(), degree)

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
                if self.take() is _END:
                    raise Unreadable("a matrix that does not close")
        rows: list[tuple[Expr, ...]] = []
        row: list[Expr] = []
        while True:
            row.append(_argument(self.sum()))
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
            if self.take() is _END:
                raise Unreadable("a matrix that does not close")
        if len({len(r) for r in rows}) != 1 or len(rows) * len(rows[0]) > MAX_ITEMS:
            raise Unreadable("a matrix with uneven rows, or too large a one")
        return Matrix(tuple(rows))


def _expr(node: Answer) -> Expr:
    if not isinstance(node, Expr):
        raise Unreadable("an operator on something that is no number")
    return node


def _argument(node: Answer) -> Expr:
    """Of a function: 45° is an angle there."""
    if isinstance(node, Quantity) and node.unit == DEGREE:
        return in_radians(node)
    return _expr(node)


def in_radians(angle: Quantity) -> Expr:
    share = Num(Fraction(1, 180), Notation.FRACTION)
    return Mul((angle.amount, share, Const("pi")))


def _negated(node: Expr) -> Expr:
    """A sign before a numeral belongs to it."""
    if isinstance(node, Num) and node.value > 0:
        return Num(-node.value, node.notation)
    return Neg(node)


def _times(factors: list[Expr], right: Expr) -> list[Expr]:
    """6.29 \\times 10^6 is a numeral."""
    if len(factors) == 1 and isinstance(right, Pow):
        mantissa, exponent = factors[0], integer_of(right.exponent)
        plain = isinstance(mantissa, Num) and mantissa.notation in (
            Notation.INTEGER,
            Notation.DECIMAL,
        )
        if plain and integer_of(right.base) == 10 and exponent is not None:
            assert isinstance(mantissa, Num)
            return [Num(scaled(mantissa.value, exponent), Notation.SCIENTIFIC)]
    return [*factors, right]


def _product(factors: list[Expr]) -> Expr:
    return factors[0] if len(factors) == 1 else Mul(tuple(factors))


def _quotient(numerator: Expr, denominator: Expr) -> Expr:
    """Of two integer numerals it is a numeral itself."""
    top, bottom = integer_of(numerator), integer_of(denominator)
    if top is None or bottom is None:
        return Div(numerator, denominator)
    if not bottom:
        raise Unreadable("a division by zero")
    return Num(Fraction(top, bottom), Notation.FRACTION)
