"""What an agent's turns cost beside the policy: episodes of a scripted engine in real workspaces.

    PYTHONPATH=src python bench/agent_loop.py [--episodes 64] [--at-once 16]

An episode opens a workspace over a small repository, views a file, edits it, runs a command, and
submits: four turns.  Told: episodes and turns a second of one process, and the medians in ms of
each tool.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from proofloop.agent.changes import changes
from proofloop.agent.dialects import NativeCalls
from proofloop.agent.drive import drive, in_workspace
from proofloop.agent.episode import Asks, episode
from proofloop.agent.limits import EpisodeLimits
from proofloop.agent.repository import begin_history, prepare
from proofloop.agent.site import Site
from proofloop.core.episode import Episode
from proofloop.core.sandbox import Workspace
from proofloop.core.task import Message
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model
from proofloop.sandbox import open_sandbox
from proofloop.testing import ScriptedEngine

CALLS = (
    ("view", {"path": "pkg/m0.py"}),
    ("edit", {"path": "pkg/m0.py", "old": "x = 1\n", "new": "x = 2\n"}),
    ("shell", {"command": "cat pkg/m0.py"}),
    ("submit", {}),
)
TASK = (Message(role="user", content="Mend it."),)
LIMITS = EpisodeLimits(max_turn_tokens=400, context_tokens=20_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=16)
    options = parser.parse_args()
    tokenizer = ChatTokenizer.load(resolve_model("pico"))

    def says(context: tuple[int, ...], seed: int) -> tuple[int, ...]:
        name, arguments = CALLS[seed]
        call = json.dumps({"name": name, "arguments": arguments})
        return tokenizer.encode(f"<tool_call>{call}</tool_call>")

    engine = ScriptedEngine(says, stop_token=tokenizer.stop_ids[0])
    with tempfile.TemporaryDirectory() as place, open_sandbox() as sandbox:
        checkout = Path(place, "checkout")
        (checkout / "pkg").mkdir(parents=True)
        for i in range(100):
            (checkout / "pkg" / f"m{i}.py").write_text("x = 1\n")
        begin_history(checkout)
        base = prepare(checkout, Path(place, "base"))

        def begin(workspace: Workspace) -> Asks:
            site = Site(workspace=workspace, permissions=base.permissions())
            return episode(
                TASK, site=site, dialect=NativeCalls(), tokenizer=tokenizer, limits=LIMITS
            )

        def one() -> Asks:
            return in_workspace(
                lambda: sandbox.open_workspace(base.tree),
                begin,
                lambda workspace: str(len(changes(workspace, base.tree).files)),
            )

        start = time.perf_counter()
        done = drive(engine, (one() for _ in range(options.episodes)), at_once=options.at_once)
        taken_s = time.perf_counter() - start
    times_s: dict[str, list[float]] = {}
    for found in done:
        assert isinstance(found, Episode)
        assert found.rollout.answer == "1"
        for step in found.trajectory.steps:
            times_s.setdefault(step.calls[0].tool, []).append(step.results[0].seconds)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors, {sandbox.tier}")
    turns = options.episodes * len(CALLS)
    print(f"{options.episodes / taken_s:.1f} episodes a second, {turns / taken_s:.0f} turns")
    print("  ".join(f"{n} {1e3 * statistics.median(t):.2f} ms" for n, t in times_s.items()))


if __name__ == "__main__":
    main()
