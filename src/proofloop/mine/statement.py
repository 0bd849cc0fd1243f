"""The problem statement: what no longer works, as somebody would notice it who uses the project.

By a template, from the names of the tests that fail and what they raise; or worded by a language
model.  Neither may tell the answer: a statement is scanned for lines of the oracle, for lines of
hidden tests, for the paths and the functions that were changed.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence

from proofloop.core.errors import UserError

_SHOWN = 6
"""Behaviours that a statement names."""
_LONG_ENOUGH = 12
"""Characters of a line that tells something."""
_MAX_SAID = 160
_REFUTED = ("AssertionError", "Failed")


def by_template(
    project: str, horizon: int, errors: Mapping[str, tuple[str, str]], secrets: "Secrets"
) -> str | None:
    """None where no part of it may be said."""
    lines = list(dict.fromkeys(_behaviour(t, *e, secrets) for t, e in errors.items()))
    shown = [line for line in lines if line][:_SHOWN]
    if not shown:
        return None
    more = len(lines) - len(shown)
    plural = "s" if horizon > 1 else ""
    head = (
        f"Something in `{project}` no longer does what it should. Find the cause and mend it in "
        "the project's sources; the tests are not to be changed."
        if horizon == 1
        else f"Several things in `{project}` no longer do what they should: {horizon} separate "
        "causes, in different places. Find and mend all of them in the project's sources; the "
        "tests are not to be changed."
    )
    text = [head, "", f"Symptom{plural or ('s' if len(shown) > 1 else '')}:", ""]
    text += [f"- {line}" for line in shown]
    if more > 0:
        text += ["", f"And {more} more of this kind." if more > 1 else "And one more."]
    text += ["", "Everything else works and must go on working."]
    return "\n".join(text) + "\n"


class Secrets:
    """What a statement must not hold."""

    def __init__(self, oracle: Sequence[str], hidden: Sequence[str], places: Sequence[str]) -> None:
        """`oracle`: lines that the oracle adds; `hidden`: lines of tests that are not shown;
        `places`: paths."""
        self._lines = {_bare(line) for line in (*oracle, *hidden)}
        self._lines = {line for line in self._lines if len(line) >= _LONG_ENOUGH}
        self._places = [place for place in places if place]

    def leak(self, text: str) -> str | None:
        """What of it is told; None if nothing."""
        bare = _bare(text)
        for line in self._lines:
            if line in bare:
                return "a line of the answer or of a hidden test"
        for place in self._places:
            if place in text:
                return f"the path {place}"
        return None


def _bare(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _behaviour(test: str, error: str, said: str, secrets: Secrets) -> str:
    """`tests/test_strutils.py::TestSlug::test_slugify[a-b]` -> "strutils, slug: slugify [a-b]
    gives a wrong result"; empty where even that would tell too much."""
    path, _, name = test.partition("::")
    name, _, case = name.partition("[")
    area = re.sub(r"^tests?_|_tests?$", "", path.rpartition("/")[2].removesuffix(".py"))
    words = [re.sub(r"^tests?_?", "", part, flags=re.IGNORECASE) for part in name.split("::")]
    subject = ": ".join(_words(word) for word in words if word) or _words(area)
    where = f"{_words(area)}: " if _words(area) not in subject else ""
    label = f" (case `{case[:-1][:40]}`)" if case else ""
    if error in _REFUTED or not error:
        what = "gives a wrong result"
    else:
        first = said.strip().split("\n")[0][:_MAX_SAID]
        what = f"raises `{error}`" + (f": {first}" if first else "")
        if secrets.leak(what):
            what = f"raises `{error}`"
    line = f"{where}{subject}{label} {what}"
    if secrets.leak(line):
        line = f"{where}{subject} {what}"
    return "" if secrets.leak(line) else line


def _words(name: str) -> str:
    """`ParseURLTest` -> "parse url"; `test_a_b` -> "a b"."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name.replace("_", " "))
    return " ".join(w for w in parts.lower().split() if w not in ("test", "tests")) or name.lower()


def by_model(endpoint: str, model: str, draft: str, secrets: Secrets) -> str:
    """The draft in a model's words; the draft itself where the model's words tell too much.
    Raises UserError where the server does not answer."""
    ask = (
        "Rewrite this bug report as a user of the library would write it: one short paragraph and "
        "the symptoms, no guesses at the cause, nothing that is not in it.\n\n" + draft
    )
    body = {"model": model, "messages": [{"role": "user", "content": ask}], "max_tokens": 600}
    request = urllib.request.Request(
        endpoint.rstrip("/") + "/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as reply:
            told = json.load(reply)["choices"][0]["message"]["content"]
    except (OSError, ValueError, KeyError, IndexError, urllib.error.URLError) as error:
        raise UserError(
            f"{endpoint}: gives no problem statements ({error}); check mine.endpoint and "
            "mine.endpoint_model, or leave them out for the template"
        ) from error
    text = str(told).strip() + "\n"
    return draft if len(text) < 20 or secrets.leak(text) else text
