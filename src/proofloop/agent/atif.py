"""An episode in the Agent Trajectory Interchange Format, version 1.8.

Steps of ours are agent steps there, results their observations; the task is the steps before.  What
the format has no word for (how it ended, denials, faults) stands in `extra`.
"""

from typing import Any

import msgspec

import proofloop
from proofloop.core.episode import Episode, Step, ToolCall, Trajectory
from proofloop.core.rollout import Rollout

VERSION = "ATIF-v1.8"


def atif(episode: Episode, *, session: str) -> dict[str, Any]:
    """As plain JSON values; no key is there without a value."""
    story = episode.trajectory
    steps = [
        {"step_id": i, "source": _source(m.role), "message": m.content}
        for i, m in enumerate(story.opening, 1)
    ]
    contexts = _contexts(episode.rollout)
    for place, step in enumerate(story.steps):
        steps.append({"step_id": len(steps) + 1, **_step(place, step, story, episode, contexts)})
    return {
        "schema_version": VERSION,
        "session_id": session,
        "trajectory_id": episode.rollout.id,
        "agent": _filled(
            name="proofloop", version=proofloop.__version__, model_name=story.model or None
        ),
        "steps": steps,
        "final_metrics": {
            "total_prompt_tokens": sum(s.num_context_tokens for s in story.steps),
            "total_completion_tokens": sum(s.num_sampled_tokens for s in story.steps),
            "total_cost_usd": story.cost,
            "total_steps": len(steps),
        },
        "extra": _filled(
            ending=story.ending.value,
            dialect=story.dialect,
            notes=story.notes or None,
            denied=msgspec.to_builtins(story.denied) or None,
            task_id=episode.rollout.task_id or None,
        ),
    }


def atif_bytes(episode: Episode, *, session: str) -> bytes:
    return msgspec.json.format(msgspec.json.encode(atif(episode, session=session)), indent=1)


def _source(role: str) -> str:
    return "agent" if role == "assistant" else role


def _step(
    place: int,
    step: Step,
    story: Trajectory,
    episode: Episode,
    contexts: list[tuple[int, ...]],
) -> dict[str, Any]:
    calls = [_call(place, i, call) for i, call in enumerate(step.calls)]
    results = [
        {"source_call_id": calls[i]["tool_call_id"], "content": result.text}
        for i, result in enumerate(step.results)
    ]
    return _filled(
        source="agent",
        message=step.text,
        model_name=story.model or None,
        tool_calls=calls or None,
        observation={"results": results} if results else None,
        metrics=_metrics(place, step, episode.rollout, contexts),
        llm_call_count=1,
        extra=_filled(fault=step.fault or None, is_memory=step.is_memory or None) or None,
    )


def _call(place: int, number: int, call: ToolCall) -> dict[str, Any]:
    """Arguments that are no object, as a server may send them, under a name of ours."""
    try:
        arguments = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, UnicodeError):
        arguments = None
    return {
        "tool_call_id": f"call_{place}_{number}",
        "function_name": call.tool,
        "arguments": arguments if isinstance(arguments, dict) else {"_text": call.arguments},
    }


def _metrics(
    place: int, step: Step, rollout: Rollout, contexts: list[tuple[int, ...]]
) -> dict[str, Any]:
    metrics: dict[str, Any] = {
        "prompt_tokens": step.num_context_tokens,
        "completion_tokens": step.num_sampled_tokens,
        "cost_usd": step.cost,
    }
    if place < len(contexts):
        completion = rollout.turns[place].completion
        metrics["prompt_token_ids"] = contexts[place]
        metrics["completion_token_ids"] = completion.tokens
        metrics["logprobs"] = completion.logprobs
    return metrics


def _contexts(rollout: Rollout) -> list[tuple[int, ...]]:
    """All that the policy saw before each completion."""
    found: list[tuple[int, ...]] = []
    for part in rollout.contexts:
        seen: tuple[int, ...] = ()
        for turn in part:
            seen += turn.context
            found.append(seen)
            seen += turn.completion.tokens
    return found


def _filled(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
