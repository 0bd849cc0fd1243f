"""Exact arithmetic: quotients of polynomials over the rationals in symbols, pi, e, i and roots.

A power of a prime with an exponent between 0 and 1 is a generator of its own, and products of
such generators are linearly independent over the rationals (Besicovitch 1940, "On the linear
independence of fractional powers of integers"); pi is transcendental.  So two forms without opaque
parts are equal as numbers or functions if and only if their cross products agree term by term, and
no symbolic step is needed.  (Whether e and pi are independent is not known; that they are is
assumed, and the same of logarithms of primes: a wrong assumption would reject, never accept.)  A
function's value is an opaque generator: equal forms are then still equal, unequal ones say nothing.

Everything is counted and capped before it is computed.  Under `QUICK` the work is small enough for
the trusted process; what is over it goes to the worker, which computes under `FULL`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import comb, factorial

from proofloop.verify.math.poly import (
    UNITY,
    Monomial,
    Poly,
    Ratio,
    Undefined,
    add_to,
    constant,
    generator,
    inverse,
    normal,
)
from proofloop.verify.math.tree import (
    Add,
    Call,
    Const,
    Div,
    Expr,
    Mul,
    Neg,
    Num,
    Pow,
    Root,
    Sym,
)

MAX_ROOT_DEGREE = 64


class OverLimit(ValueError):
    """Over a size cap; nothing was computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    max_bits: int
    """Of one coefficient, numerator and denominator together."""
    max_factorial: int
    max_sum_power: int
    max_radicand: int
    """Trial division stops at its square root; roots of larger numbers are opaque."""
    max_work: int
    """Products of terms, all in all."""


QUICK = Caps(
    max_bits=2048, max_factorial=100, max_sum_power=8, max_radicand=10**6, max_work=2000
)  # fmt: skip
FULL = Caps(
    max_bits=60_000, max_factorial=3000, max_sum_power=64, max_radicand=10**12, max_work=10**6
)  # fmt: skip


class Ring:
    """One comparison's arithmetic: holds its caps and the work done so far.

    Every method raises OverLimit or Undefined."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._work = 0

    def same(self, a: Ratio, b: Ratio) -> bool:
        """Term by term after cross multiplication."""
        if a.bottom == b.bottom:
            return a.top == b.top
        return self._times(a.top, b.bottom) == self._times(b.top, a.bottom)

    def ratio(self, expr: Expr) -> Ratio:
        match expr:
            case Num(value):
                return constant(value)
            case Const(name):
                return generator("i" if name == "i" else f"c {name}")
            case Sym(name):
                return generator(f"x {name}")
            case Add(terms):
                return self._sum(self.ratio(term) for term in terms)
            case Neg(body):
                return self.product(constant(-1), self.ratio(body))
            case Mul(factors):
                result = constant(1)
                for factor in factors:
                    result = self.product(result, self.ratio(factor))
                return result
            case Div(numerator, denominator):
                return self.product(self.ratio(numerator), inverse(self.ratio(denominator)))
            case Pow(base, exponent):
                return self._power(self.ratio(base), self.ratio(exponent))
            case Root(body, degree):
                return self._root(self.ratio(body), degree)
            case Call(name, args):
                return self._call(name, [self.ratio(arg) for arg in args])

    def product(self, a: Ratio, b: Ratio) -> Ratio:
        return Ratio(self._times(a.top, b.top), self._times(a.bottom, b.bottom))

    def difference(self, a: Ratio, b: Ratio) -> Ratio:
        return self._sum((a, self.product(constant(-1), b)))

    def _count(self, work: int) -> None:
        self._work += work
        if self._work > self._caps.max_work:
            raise OverLimit("too much to compute")

    def _sum(self, parts: Iterable[Ratio]) -> Ratio:
        total = constant(0)
        for part in parts:
            if total.bottom == part.bottom:
                total = Ratio(self._plus(total.top, part.top), total.bottom)
            else:
                left = self._times(total.top, part.bottom)
                top = self._plus(left, self._times(part.top, total.bottom))
                total = Ratio(top, self._times(total.bottom, part.bottom))
        return total

    def _plus(self, a: Poly, b: Poly) -> Poly:
        self._count(len(a) + len(b))
        total = dict(a)
        for term, coefficient in b.items():
            add_to(total, term, coefficient)
        return self._capped(total)

    def _times(self, a: Poly, b: Poly) -> Poly:
        if a is UNITY:
            return b
        if b is UNITY:
            return a
        self._count(len(a) * len(b))
        total: Poly = {}
        for term_a, x in a.items():
            for term_b, y in b.items():
                scale, term = self._joined(term_a, term_b)
                add_to(total, term, x * y * scale)
        return self._capped(total)

    def _capped(self, poly: Poly) -> Poly:
        for c in poly.values():
            if c.numerator.bit_length() + c.denominator.bit_length() > self._caps.max_bits:
                raise OverLimit("too many digits")
        return poly

    def _joined(self, a: Monomial, b: Monomial) -> tuple[Fraction, Monomial]:
        """The product of two monomials: what becomes rational, and the rest."""
        if not a or not b:
            return Fraction(1), a or b
        powers = dict(a)
        for name, power in b:
            powers[name] = powers.get(name, Fraction(0)) + power
        self._count(len(powers))
        return normal(powers)

    def _power(self, base: Ratio, exponent: Ratio) -> Ratio:
        power = exponent.rational
        if power is None or power.denominator > MAX_ROOT_DEGREE:
            return self._opaque("power", (base, exponent))
        if power.denominator == 1:
            return self._whole_power(base, int(power))
        value = base.rational
        if value is not None and value < 0:  # complex; of which branch is SymPy's to say
            return self._opaque("power", (base, exponent))
        return self._whole_power(self._root(base, power.denominator), int(power.numerator))

    def _whole_power(self, base: Ratio, n: int) -> Ratio:
        if n < 0:
            base, n = inverse(base), -n
        if n == 0 and not base.top:
            raise Undefined("zero to the power of zero")
        for poly in base:
            if len(poly) > 1 and n > self._caps.max_sum_power:
                raise OverLimit("too high a power of a sum")
            for c in poly.values():
                bits = c.numerator.bit_length() + c.denominator.bit_length() - 2
                if bits * n > self._caps.max_bits or n > self._caps.max_bits:
                    raise OverLimit("too high a power")
        result = constant(1)
        while n:  # squaring, so that the work is bounded by the size of the result
            if n & 1:
                result = self.product(result, base)
            n >>= 1
            if n:
                base = self.product(base, base)
        return result

    def _root(self, base: Ratio, degree: int) -> Ratio:
        if not base.top:
            return base
        if len(base.top) == 1 and len(base.bottom) == 1:
            top, bottom = self._term_root(base.top, degree), self._term_root(base.bottom, degree)
            if top is not None and bottom is not None:
                return self.product(top, inverse(bottom))
        return self._opaque(f"root {degree}", (base,))

    def _term_root(self, poly: Poly, degree: int) -> Ratio | None:
        """The root of one term where it is plain: of a positive number, of a bare symbol, of pi
        and e; the square root (by i) and the odd real roots of a negative number."""
        ((term, coefficient),) = poly.items()
        powers: dict[str, Fraction] = {}
        for name, power in term:
            is_bare_symbol = name.startswith("x ") and power == 1 and len(term) == 1
            if not (is_bare_symbol or name.startswith("p ") or name in ("c pi", "c e")):
                return None
            powers[name] = power / degree
        sign = constant(1)
        if coefficient < 0:
            if (degree > 2 and not degree % 2) or any(n.startswith("x ") for n in powers):
                return None
            sign = generator("i") if degree == 2 else constant(-1)
        if max(abs(coefficient.numerator), coefficient.denominator) > self._caps.max_radicand:
            return None
        for number, side in ((abs(coefficient.numerator), 1), (coefficient.denominator, -1)):
            for prime, count in self._factors(number):
                name = f"p {prime}"
                powers[name] = powers.get(name, Fraction(0)) + Fraction(side * count, degree)
        scale, monomial = normal(powers)
        return self.product(sign, Ratio({monomial: scale}, UNITY))

    def _factors(self, n: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        divisor = 2
        while divisor * divisor <= n:
            count = 0
            while not n % divisor:
                n //= divisor
                count += 1
            if count:
                found.append((divisor, count))
            divisor += 1
        self._count(divisor // 20)  # a division is that much less than a product of terms
        return [*found, (n, 1)] if n > 1 else found

    def _call(self, name: str, args: list[Ratio]) -> Ratio:
        values = [value for arg in args if (value := arg.rational) is not None]
        if len(values) < len(args):
            return self._opaque(name, args)
        first = values[0]
        match name:
            case "factorial" | "binomial" if all(v.denominator == 1 and v >= 0 for v in values):
                if max(values) > self._caps.max_factorial:
                    raise OverLimit("too large a factorial")
                whole = [int(v) for v in values]
                return constant(factorial(whole[0]) if len(whole) == 1 else comb(*whole))
            case "abs":
                return constant(abs(first))
            case "floor":
                return constant(first.numerator // first.denominator)
            case "ceil":
                return constant(-(-first.numerator // first.denominator))
            case "ln" if self._is_factored(first):
                return self._logarithm(first)
            case "log" if len(values) == 2 and all(map(self._is_factored, values)):
                return self.product(self._logarithm(first), inverse(self._logarithm(values[1])))
            case _:
                return self._opaque(name, args)

    def _is_factored(self, value: Fraction) -> bool:
        """Whether it is positive and small enough to be."""
        return value > 0 and max(value.numerator, value.denominator) <= self._caps.max_radicand

    def _logarithm(self, value: Fraction) -> Ratio:
        """A sum over its primes: a generator each, independent as factorisation is unique."""
        total: Poly = {}
        for number, side in ((value.numerator, 1), (value.denominator, -1)):
            for prime, count in self._factors(number):
                total[((f"c ln {prime}", Fraction(1)),)] = Fraction(side * count)
        return Ratio(total, UNITY)

    def _opaque(self, name: str, args: Iterable[Ratio]) -> Ratio:
        text = f"?{name} {[sorted(poly.items()) for arg in args for poly in arg]}"
        self._count(len(text) // 20)
        return generator(text)
