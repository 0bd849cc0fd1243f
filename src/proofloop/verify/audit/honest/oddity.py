"""One honest oddity, as data."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from string import Template

from proofloop.verify.audit.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    name: str
    why: str
    """Why it is right, in one line."""
    write: Callable[[Target], str]
    """The answer."""
    costly: bool = False
    """It computes for a good part of the limit: tried on one task instead of on all."""
    of_text: bool = False
    """The solution's text in other clothes, whatever it defines."""


def wrapped(name: str, why: str, template: str, *, costly: bool = False) -> Oddity:
    """The solution, and below it, for each function asked for, `template` about `$NAME`, with the
    solution's own function as `right_$NAME`."""
    below = Template("right_$NAME = $NAME\n" + textwrap.dedent(template).lstrip("\n"))

    def write(target: Target) -> str:
        parts = [below.substitute(NAME=function.name) for function in target.functions]
        return "\n".join([target.oracle, *parts])

    return Oddity(name=name, why=why, write=write, costly=costly)


def rewritten(name: str, why: str, rewrite: Callable[[str], str]) -> Oddity:
    """The solution's text, rewritten."""
    return Oddity(name=name, why=why, write=lambda target: rewrite(target.oracle), of_text=True)
