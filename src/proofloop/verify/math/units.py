"""Units of measure: what a unit's words mean, as a product of dimensions with an exact factor.

A closed table.  A word that is not in it is no unit, so that `12 dozen` is never read as 12.
"""

from fractions import Fraction

from proofloop.verify.math.tree import Unit, Unreadable

_F = Fraction
_INCH, _POUND = _F(254, 10000), _F(45359237, 100000)

# name and other names: dimension, how many base units one is
_TABLE: tuple[tuple[str, str, Fraction], ...] = (
    ("m meter meters metre metres", "length", _F(1)),
    ("km kilometer kilometers kilometre kilometres", "length", _F(1000)),
    ("cm centimeter centimeters centimetre centimetres", "length", _F(1, 100)),
    ("mm millimeter millimeters millimetre millimetres", "length", _F(1, 1000)),
    ("inch inches in", "length", _INCH),
    ("ft foot feet", "length", 12 * _INCH),
    ("yd yard yards", "length", 36 * _INCH),
    ("mi mile miles", "length", 63360 * _INCH),
    ("g gram grams", "mass", _F(1)),
    ("kg kilogram kilograms", "mass", _F(1000)),
    ("mg milligram milligrams", "mass", _F(1, 1000)),
    ("lb lbs pound pounds", "mass", _POUND),
    ("oz ounce ounces", "mass", _POUND / 16),
    ("s sec secs second seconds", "time", _F(1)),
    ("min mins minute minutes", "time", _F(60)),
    ("h hr hrs hour hours", "time", _F(3600)),
    ("day days", "time", _F(86400)),
    ("week weeks", "time", _F(604800)),
    ("month months", "month", _F(1)),
    ("year years", "month", _F(12)),
    ("l liter liters litre litres", "volume", _F(1)),
    ("ml milliliter milliliters", "volume", _F(1, 1000)),
    ("gallon gallons", "gallon", _F(1)),
    ("dollar dollars usd", "dollar", _F(1)),
    ("cent cents", "dollar", _F(1, 100)),
    ("euro euros eur", "euro", _F(1)),
    ("sterling", "sterling", _F(1)),
    ("rad radian radians", "radian", _F(1)),
    ("degree degrees", "degree", _F(1)),
    ("unit units", "unit", _F(1)),
    ("mph", "speed", _F(1)),
)

UNIT_NAMES = {
    name: (dimension, factor) for names, dimension, factor in _TABLE for name in names.split()
}
_POWERS = {"square": 2, "sq": 2, "cubic": 3}
DEGREE = Unit(dimensions=(("degree", 1),), factor=_F(1))
DOLLAR = Unit(dimensions=(("dollar", 1),), factor=_F(1))
MAX_POWER = 4


def read_unit(words: list[str]) -> Unit:
    """From words such as ["square", "cm"], ["m", "/", "s"], ["cm", "^", "2"].  Raises Unreadable
    for a word outside the table."""
    if words == ["pounds", "sterling"]:
        words = ["sterling"]
    if "mph" in words:
        words = [part for w in words for part in (("miles", "per", "hour") if w == "mph" else (w,))]
    powers: dict[str, int] = {}
    factor = _F(1)
    sign, pending = 1, 1
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word in ("per", "/"):
            sign = -1
            continue
        if word in _POWERS:
            pending = _POWERS[word]
            continue
        name = word if word in UNIT_NAMES else word.lower().rstrip(".")
        if name not in UNIT_NAMES:
            raise Unreadable("words after the answer that are no unit")
        power, pending = pending, 1
        if at + 1 < len(words) and words[at] == "^" and words[at + 1].isdigit():
            power = int(words[at + 1][:3])
            at += 2
        if power > MAX_POWER:
            raise Unreadable("too high a power of a unit")
        dimension, size = UNIT_NAMES[name]
        powers[dimension] = powers.get(dimension, 0) + sign * power
        factor *= size ** (sign * power)
    dimensions = tuple(sorted((d, p) for d, p in powers.items() if p))
    if not dimensions or pending != 1:
        raise Unreadable("a unit that is cut short")
    return Unit(dimensions=dimensions, factor=factor)
