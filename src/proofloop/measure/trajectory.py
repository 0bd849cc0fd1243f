"""An agent's rollout to read, turn by turn: what it said and called, what it was told, what trains.

Everything that a model or a program wrote goes through `printable`.
"""

from rich.console import Group
from rich.text import Text

from proofloop.core.rollout import Rollout
from proofloop.core.trajectory import Step, ToolCall, ToolResult, Trajectory
from proofloop.measure.text import printable

MAX_CHARS = 1500
"""Of one text."""


def trajectory_view(
    rollout: Rollout, story: Trajectory, *, advantage: float | None, judged: str
) -> Group:
    """For a terminal.  `judged`: a line on the verdict; `advantage` None: it does not train."""
    parts = [Text(line) for line in _head(rollout, story, judged)]
    for place, step in enumerate(story.steps):
        parts += _turn(place, step, rollout, advantage)
    parts.append(Text(f"\nended: {story.ending.replace('_', ' ')}", style="bold"))
    parts += [
        Text(printable(f"denied in turn {d.step + 1}: {d.action} ({d.rule})"), style="red")
        for d in story.denied
    ]
    if story.notes:
        parts.append(Text("notes:\n" + _indented(story.notes)))
    return Group(*parts)


def _head(rollout: Rollout, story: Trajectory, judged: str) -> list[str]:
    of = f" of {rollout.task_id}" if rollout.task_id else ""
    by = f", by {story.model}" if story.model else ""
    spent = f", ${story.cost:.4f}" if story.cost else ""
    lines = [
        printable(f"episode {rollout.id}{of}{by}"),
        *([judged] if judged else []),
        f"{len(story.steps)} turns, {story.num_calls} calls, "
        f"{sum(s.num_sampled_tokens for s in story.steps)} sampled tokens in "
        f"{max(1, len(rollout.contexts))} contexts, {story.seconds:.1f} s{spent}",
    ]
    for message in story.opening:
        lines += [f"\n{message.role}:", _indented(message.content)]
    return lines


def _turn(place: int, step: Step, rollout: Rollout, advantage: float | None) -> list[Text]:
    restarts = place < len(rollout.turns) and rollout.turns[place].restarts
    trains = (
        "tokens not known, none train"
        if place >= len(rollout.turns)
        else "none train"
        if advantage is None
        else f"{step.num_sampled_tokens} train, advantage {advantage:+.4f}"
    )
    head = (
        f"\nturn {place + 1}: {step.num_context_tokens} tokens of context, "
        f"{step.num_sampled_tokens} sampled, {trains}"
    )
    parts = [Text("\n— a new context, of the task and the notes —", style="dim")] * restarts
    parts.append(Text(head, style="bold"))
    parts.append(Text(_indented(step.text)))
    if step.is_memory:
        parts.append(Text("  kept as notes", style="dim"))
    for number, call in enumerate(step.calls):
        result = step.results[number] if number < len(step.results) else None
        parts += _call(call, result)
    if step.fault:
        parts.append(Text(printable(f"  no call: {step.fault}"), style="red"))
    return parts


def _call(call: ToolCall, result: ToolResult | None) -> list[Text]:
    parts = [Text(printable(f"  → {call.tool} {call.arguments}", max_chars=MAX_CHARS))]
    if result is None:
        return [*parts, Text("    not made: it had handed in", style="dim")]
    mark = "denied" if result.is_denied else "fault" if result.is_fault else ""
    cut = f", {result.num_cut} characters cut" if result.num_cut else ""
    head = f"  ← {result.seconds:.2f} s{cut}" + (f", {mark}" if mark else "")
    parts.append(Text(head, style="red" if mark else "dim"))
    parts.append(Text(_indented(result.text, "    "), style="dim"))
    return parts


def _indented(text: str, by: str = "  ") -> str:
    shown = printable(text, max_chars=MAX_CHARS)
    return "\n".join(by + line for line in shown.split("\n"))


def turns_of(story: Trajectory) -> tuple[tuple[str, str, str], ...]:
    """For a page: a heading, what was said and what was told, each turn."""
    turns: list[tuple[str, str, str]] = []
    for number, step in enumerate(story.steps, 1):
        calls = ", ".join(call.tool for call in step.calls)
        what = "notes" if step.is_memory else calls or "no call"
        head = f"Turn {number}: {what}, {step.num_sampled_tokens} tokens sampled"
        told = "\n".join(result.text for result in step.results) or step.fault
        turns.append((head, step.text, told))
    ending = story.ending.replace("_", " ")
    denied = "\n".join(f"{d.action} ({d.rule})" for d in story.denied)
    return (*turns, (f"Ended: {ending}, {len(story.denied)} actions denied", denied, ""))
