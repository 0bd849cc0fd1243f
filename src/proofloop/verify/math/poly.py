"""Polynomials in generators with rational exponents, and their quotients: the values of `ring`.

A generator is named by a prefix: `x a` a symbol, `p 2` a power of a prime, `c pi` a constant, `i`
itself, `?…` something opaque.
"""

from fractions import Fraction
from typing import NamedTuple

Monomial = tuple[tuple[str, Fraction], ...]
Poly = dict[Monomial, Fraction]
ONE: Monomial = ()
UNITY = {ONE: Fraction(1)}


class Undefined(ValueError):
    """A division by zero."""


class Ratio(NamedTuple):
    """A quotient of polynomials, not reduced."""

    top: Poly
    bottom: Poly

    @property
    def is_opaque(self) -> bool:
        return any(g.startswith("?") for part in self for term in part for g, _ in term)

    @property
    def rational(self) -> Fraction | None:
        """Its value where both parts are constant."""
        if self.top.keys() <= UNITY.keys() and self.bottom.keys() == UNITY.keys():
            return self.top.get(ONE, Fraction(0)) / self.bottom[ONE]
        return None


def constant(value: Fraction | int) -> Ratio:
    return Ratio({ONE: Fraction(value)} if value else {}, UNITY)


def generator(name: str) -> Ratio:
    return Ratio({((name, Fraction(1)),): Fraction(1)}, UNITY)


def inverse(a: Ratio) -> Ratio:
    if not a.top:
        raise Undefined("a division by zero")
    return Ratio(a.bottom, a.top)


def add_to(poly: Poly, term: Monomial, coefficient: Fraction) -> None:
    value = poly.get(term, 0) + coefficient
    if value:
        poly[term] = value
    else:
        poly.pop(term, None)


def normal(powers: dict[str, Fraction]) -> tuple[Fraction, Monomial]:
    """Primes keep the fractional part of their exponent, i its parity."""
    scale = Fraction(1)
    rest: list[tuple[str, Fraction]] = []
    for name, power in powers.items():
        left = power
        if name == "i" and power.denominator == 1:
            turns = int(power) % 4
            scale *= -1 if turns >= 2 else 1
            left = Fraction(turns % 2)
        elif name.startswith("p "):
            whole = power.numerator // power.denominator
            scale *= Fraction(int(name[2:])) ** whole
            left = power - whole
        if left:
            rest.append((name, left))
    rest.sort()
    return scale, tuple(rest)
