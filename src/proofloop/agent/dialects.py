"""How a policy's text becomes calls of tools, and how results become text for it.

A dialect of one's own: a class with the four methods of `Dialect`.  None of them raises for what a
policy says: text that holds no call that can be read is a `Reading` with a fault, which the policy
is told.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec

from proofloop.agent.tools import NAME, ToolSpec
from proofloop.core.episode import ToolCall, ToolResult
from proofloop.core.record import Record

Chat = Mapping[str, Any]
"""A message as OpenAI's API has it: role, content, tool_calls, tool_call_id."""


class Reading(Record):
    """What a text asks for."""

    calls: tuple[ToolCall, ...] = ()
    fault: str = ""
    """Why there are none; as the policy is told."""


class Dialect(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end a turn."""
        ...

    def opening(self, messages: Sequence[Chat], tools: Sequence[ToolSpec]) -> tuple[Chat, ...]:
        """The first messages: the task's, and whatever explains the dialect."""
        ...

    def shown(self, tools: Sequence[ToolSpec]) -> tuple[Chat, ...] | None:
        """The tools as the chat template (or a server) is told of them; None: it is not."""
        ...

    def read(self, text: str) -> Reading:
        """`text`: a completion without its stop token; one that was cut off, too."""
        ...

    def replies(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], say: str
    ) -> tuple[Chat, ...]:
        """The messages after a turn: its results, then what else there is to `say` (a fault, a
        request for notes), if anything.  At least one message."""
        ...


@dataclass(frozen=True, slots=True)
class NativeCalls:
    """Calls as chat templates of Qwen's and Hermes' kind teach them: any text, and in it
    `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, as often as wanted.  The template itself
    describes the tools and shows what came of calls."""

    name: str = "native"
    stop: tuple[str, ...] = ()

    def opening(self, messages: Sequence[Chat], tools: Sequence[ToolSpec]) -> tuple[Chat, ...]:
        return tuple(messages)

    def shown(self, tools: Sequence[ToolSpec]) -> tuple[Chat, ...]:
        return tuple(tool.schema for tool in tools)

    def read(self, text: str) -> Reading:
        _, thought_ends, said = text.rpartition("</think>")
        said = said if thought_ends else text
        found = _TOOL_CALL.findall(said)
        if not found:
            unclosed = "<tool_call>" in said
            return Reading(
                fault="a <tool_call> without its end"
                if unclosed
                else "no tool call; every answer must call a tool, submit at the end"
            )
        calls: list[ToolCall] = []
        for place, body in enumerate(found):
            call = _call(body, place)
            if isinstance(call, str):
                return Reading(fault=call)
            calls.append(call)
        return Reading(calls=tuple(calls))

    def replies(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], say: str
    ) -> tuple[Chat, ...]:
        told = tuple(
            {"role": "tool", "name": call.tool, "tool_call_id": call.id, "content": result.text}
            for call, result in zip(calls, results, strict=False)
        )
        return (*told, {"role": "user", "content": say}) if say or not told else told


_TOOL_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)


def _call(body: str, place: int) -> ToolCall | str:
    """One call, or what is wrong with it."""
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return f"a tool call that is no JSON ({error})"
    if not isinstance(found, dict):
        return "a tool call must be a JSON object with name and arguments"
    given = cast("dict[str, Any]", found)
    name, arguments = given.get("name"), given.get("arguments", {})
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        return "a tool call without the name of a tool"
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(tool=name, arguments=text, id=f"call_{place}")


@dataclass(frozen=True, slots=True)
class ShellBlocks:
    """Any text, and in it one block fenced as bash, as mini-swe-agent has it.  The block is run;
    `submit` alone, or that agent's own final command, hands in."""

    name: str = "shell"
    stop: tuple[str, ...] = ()
    tool: str = "shell"

    def opening(self, messages: Sequence[Chat], tools: Sequence[ToolSpec]) -> tuple[Chat, ...]:
        return ({"role": "system", "content": _SHELL_SYSTEM}, *messages)

    def shown(self, tools: Sequence[ToolSpec]) -> None:
        return None

    def read(self, text: str) -> Reading:
        _, thought_ends, said = text.rpartition("</think>")
        blocks = _BLOCK.findall(said if thought_ends else text)
        if len(blocks) != 1:
            return Reading(
                fault=f"{len(blocks)} blocks fenced as ```bash; give exactly one, with one command"
            )
        command = blocks[0].strip()
        if command in _SUBMITS:
            return Reading(calls=(ToolCall(tool="submit", arguments="{}"),))
        return Reading(
            calls=(ToolCall(tool=self.tool, arguments=json.dumps({"command": command})),)
        )

    def replies(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], say: str
    ) -> tuple[Chat, ...]:
        parts = [*(result.text for result in results), *([say] if say else [])]
        return ({"role": "user", "content": "\n\n".join(parts)},)


_BLOCK = re.compile(r"^```(?:bash|sh|shell)[ \t]*\n(.*?)^```[ \t]*$", re.DOTALL | re.MULTILINE)
_SUBMITS = (
    "submit",
    "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT",
    "echo MINI_SWE_AGENT_FINAL_OUTPUT",
)
_SHELL_SYSTEM = (
    "You work in a repository, by commands. Each of your answers holds one block, fenced as "
    "```bash, with one command; it is run with sh in the repository's root, and you are told what "
    "it prints. Nothing but files lasts from one command to the next. When the work is done, "
    "answer with a block that holds the one word submit."
)


@dataclass(frozen=True, slots=True)
class Typed:
    """What a person types: a command of the shell, or `submit`."""

    name: str = "typed"
    stop: tuple[str, ...] = ()

    def opening(self, messages: Sequence[Chat], tools: Sequence[ToolSpec]) -> tuple[Chat, ...]:
        how = "Type commands of the shell, each run in the repository's root; submit hands in."
        return (*messages, {"role": "user", "content": how})

    def shown(self, tools: Sequence[ToolSpec]) -> None:
        return None

    def read(self, text: str) -> Reading:
        command = text.strip()
        if not command:
            return Reading(fault="nothing typed")
        if command == "submit":
            return Reading(calls=(ToolCall(tool="submit", arguments="{}"),))
        return Reading(calls=(ToolCall(tool="shell", arguments=json.dumps({"command": command})),))

    def replies(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], say: str
    ) -> tuple[Chat, ...]:
        parts = [*(result.text for result in results), *([say] if say else [])]
        return ({"role": "user", "content": "\n".join(parts)},)
