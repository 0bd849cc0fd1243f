"""Runs a peer's own entry point on answers, under the peer's interpreter, inside the cover.

    python driver.py PEER JOBS_FILE OUTER_PID_NAMESPACE < nothing

JOBS_FILE: one JSON object, {"questions": {name: {...}}, "answers": [{"id", "question", "text"}],
"limit_s"}.  Writes one line `{"id", "passed", "seconds"}` to standard output per answer; `passed`
is null where the entry point raised or ended its process, which gives nobody full marks.

The package is imported once and every answer judged in a fork, so that no answer meets what an
earlier one left behind; between answers everything else in this pid namespace is killed.  Hence
the third argument: it refuses to run in the caller's own.  Knows nothing of ours.
"""

import importlib
import json
import os
import select
import signal
import sys
import time

_VERDICTS, _RESULT = 200, 201
"""Far from the descriptors that attacks try."""


def main() -> None:
    peer, jobs_file, outer = sys.argv[1:4]
    if os.readlink("/proc/self/ns/pid") == outer:
        sys.exit("refusing to run outside of a pid namespace of its own")
    with open(jobs_file, encoding="utf-8") as file:
        jobs = json.load(file)
    os.dup2(1, _VERDICTS, inheritable=False)
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    passes = importlib.import_module(f"peer_{peer}").passes
    for answer in jobs["answers"]:
        start = time.monotonic()
        question = jobs["questions"][answer["question"]]
        passed = _judged(passes, question, answer["text"], jobs["limit_s"])
        line = {"id": answer["id"], "passed": passed, "seconds": time.monotonic() - start}
        os.write(_VERDICTS, json.dumps(line).encode() + b"\n")


def _judged(passes, question, text, limit_s):
    mine, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(_VERDICTS)
        os.dup2(theirs, _RESULT, inheritable=False)
        os.close(mine)
        os.close(theirs)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.write(_RESULT, b"1" if passes(question, text) else b"0")
        os._exit(0)
    os.close(theirs)
    # The result or the limit: grandchildren may hold the pipe open long after.
    ready, _, _ = select.select([mine], [], [], limit_s)
    verdict = os.read(mine, 1) if ready else b""
    os.close(mine)
    os.kill(-1, signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    return {b"1": True, b"0": False}.get(verdict)


if __name__ == "__main__":
    main()
