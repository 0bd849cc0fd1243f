"""Makes docs/reference/peers.md of what `panel.py` wrote.

    PYTHONPATH=src python bench/peers/table.py VERDICTS.jsonl … > docs/reference/peers.md

The unit is an attack (or oddity): it counts where it passed (or was refused) on any question.  A
grader whose controls did not come out right is not reported.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from panel import PEERS, applies
from questions import Answer, math_answers, program_answers

from proofloop.verify.audit import Family, Kind

OURS = ("ours, T0", "ours, T1")
OURS_MATH = "ours, final answers"
MATH_ROWS = {
    "a chain or an equation that ends in the answer": ("J1",),
    "tautologies and contradictions": ("J3",),
    "an operator left to be carried out, or the question itself (a rule of ours)": ("J2",),
    "tiny numbers, rounding, tolerance": ("J4", "J6", "J8", "I5"),
    "unit, base, percent sign lost": ("J5", "I6"),
    "number fished out of a text; text after it": ("J7", "J15"),
    "set for tuple, order, open ends, letters": ("J9", "J10"),
    "parts, multiplicity, surplus": ("I1", "I2", "I3", "I4", "A6"),
    "several answers": ("J11",),
    "an answer in the thoughts alone, or none": ("J13", "J14"),
    "text that says nothing": ("K1",),
    "bombs": ("J12",),
    "other wrong answers": ("other",),
}
Verdicts = dict[str, dict[str, dict[str, Any]]]
"""Grader -> id of the answer -> row."""


def read(paths: Iterable[Path]) -> tuple[Verdicts, dict[str, str]]:
    verdicts: Verdicts = {}
    versions: dict[str, str] = {}
    for path in paths:
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if "version" in row:
                versions[row["grader"]] = row["version"]
            elif "id" in row:
                verdicts.setdefault(row["grader"], {})[row["id"]] = row
            elif "python" in row:
                versions["Python"] = row["python"]
    return verdicts, versions


def names(
    rows: dict[str, dict[str, Any]],
    answers: Iterable[Answer],
    kind: Kind,
    is_counted: Callable[[dict[str, Any]], bool],
) -> set[str]:
    """Attacks (or oddities) for which it holds on any question."""
    found = (a for a in answers if a.kind is kind and a.id in rows)
    return {a.name for a in found if is_counted(rows[a.id])}


def passed(row: dict[str, Any]) -> bool:
    return row["passed"] is True


def no_verdict(row: dict[str, Any]) -> bool:
    return row["passed"] is None or bool(row.get("unscored"))


def controls_hold(rows: dict[str, dict[str, Any]], answers: Iterable[Answer]) -> bool:
    known = [a for a in answers if a.kind in (Kind.ORACLE, Kind.BLANK)]
    return all(passed(rows[a.id]) == (a.kind is Kind.ORACLE) for a in known if a.id in rows)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    rule = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(map(str, row)) + " |" for row in (head, rule, *rows)]


def programs(verdicts: Verdicts, versions: dict[str, str]) -> list[str]:
    answers = list(program_answers())
    peers = [p for p in PEERS if not p.is_math and p.name in verdicts]
    for peer in peers:
        if not controls_hold(verdicts[peer.name], answers):
            print(f"{peer.name}: its controls failed, not reported", file=sys.stderr)
    peers = [p for p in peers if controls_hold(verdicts[p.name], answers)]
    asked = [a for a in answers if a.kind is Kind.ATTACK and applies(peers[0], a)]
    graders = [*OURS, *(peer.name for peer in peers)]
    rows: list[list[object]] = []
    for family in Family:
        own = [a for a in asked if a.row.startswith(family)]
        counts = [len(names(verdicts[g], own, Kind.ATTACK, passed)) for g in graders]
        rows.append([f"{family} {family.meaning}", len({a.name for a in own}), *counts])
    totals = [sum(int(str(row[i])) for row in rows) for i in range(1, len(rows[0]))]
    rows.append(["**all**", *totals])
    lost = [len(names(verdicts[g], asked, Kind.ATTACK, no_verdict)) for g in graders]
    rows.append(["no verdict at all", len({a.name for a in asked}), *lost])
    honest: list[object] = []
    for grader in graders:
        tried = names(verdicts[grader], answers, Kind.HONEST, lambda _: True)
        refused = names(verdicts[grader], answers, Kind.HONEST, lambda row: not passed(row))
        honest.append(f"{len(refused)} of {len(tried)}")
    rows.append(["right programs refused", "", *honest])
    heads = [f"{p.name} {versions.get(p.name, '')}" for p in peers]
    lines = ["## Programs", ""]
    lines += table(["wrong programs that got full marks", "asked", *OURS, *heads], rows)
    ours = {g: names(verdicts[g], answers, Kind.ATTACK, passed) for g in OURS}
    every = {a.name for a in answers if a.kind is Kind.ATTACK}
    others = every - {a.name for a in asked}
    on_tiers = ", ".join(f"{len(found)} passed on {g.split()[-1]}" for g, found in ours.items())
    lines += [
        "",
        f"Ours was asked all {len(every)} attacks of the panel: {on_tiers}. The other "
        f"{len(others)} mean nothing to a peer: they go for our protocol, files or packages, start "
        "the program anew that drives the peer, or are wrong only where comparison is strict (2.0 "
        "for 2), which is ours to ask for.",
        "",
    ]
    for peer in peers:
        rows_of = verdicts[peer.name]
        escaped = sorted(names(rows_of, asked, Kind.ATTACK, passed))
        lines.append(f"- **{peer.name}** gave full marks to: {', '.join(escaped) or 'none'}.")
        if lost_on := sorted(names(rows_of, asked, Kind.ATTACK, no_verdict)):
            lines[-1] += f" No verdict on: {', '.join(lost_on)}."
        if refused := sorted(names(rows_of, answers, Kind.HONEST, lambda row: not passed(row))):
            lines[-1] += f" Refused, though right: {', '.join(refused)}."
    return lines


def final_answers(verdicts: Verdicts, versions: dict[str, str]) -> list[str]:
    answers = list(math_answers())
    peers = [p for p in PEERS if p.is_math and p.name in verdicts]
    graders = [OURS_MATH, *(p.name for p in peers)]
    # A gold answer that a peer does not read, or does not find equal to itself, is left out.
    read_by = {
        g: {a.question for a in answers if a.kind is Kind.ORACLE and passed(verdicts[g][a.id])}
        for g in graders
    }

    def cell(grader: str, of: Sequence[Answer], is_bad: Callable[[dict[str, Any]], bool]) -> str:
        rows = [verdicts[grader][a.id] for a in of if a.question in read_by[grader]]
        return f"{sum(map(is_bad, rows))} of {len(rows)}"

    rows: list[list[object]] = []
    for meaning, catalogue_rows in MATH_ROWS.items():
        own = [a for a in answers if a.kind is Kind.ATTACK and a.row in catalogue_rows]
        rows.append([meaning, *(cell(g, own, passed) for g in graders)])
    attacks = [a for a in answers if a.kind is Kind.ATTACK]
    fair = [a for a in attacks if a.row != "J2"]
    rows.append(["**all but the rule of ours**", *(cell(g, fair, passed) for g in graders)])
    honest = [a for a in answers if a.kind is Kind.HONEST]
    refused = [cell(g, honest, lambda row: not passed(row)) for g in graders]
    rows.append(["right answers refused", *refused])
    heads = ["ours", *(f"{p.name} {versions.get(p.name, '')}" for p in peers)]
    lines = ["## Final answers", ""]
    lines += table(["wrong answers that got full marks", *heads], rows)
    left = {g: len({a.question for a in answers}) - len(read_by[g]) for g in graders}
    num_left = ", ".join(f"{grader} {num}" for grader, num in left.items())
    lines += [
        "",
        "What is right or wrong is what our cards say (`proofloop.verify.cards`, each with "
        "its reason), and ours is built to them; some of it is a matter of rules, such as a unit "
        "that the question names. Gold answers that a grader does not accept as their own answer "
        f"are left out for it: {num_left}.",
    ]
    return lines


def main() -> None:
    verdicts, versions = read(map(Path, sys.argv[1:]))
    page = Path(__file__).with_name("page.md").read_text()
    made = page.replace("{DATE}", date.today().isoformat())
    made = made.replace("{PYTHON}", versions.get("Python", "?"))
    made = made.replace("{PROGRAMS}", "\n".join(programs(verdicts, versions)))
    made = made.replace("{ANSWERS}", "\n".join(final_answers(verdicts, versions)))
    print(made.rstrip())


if __name__ == "__main__":
    main()
