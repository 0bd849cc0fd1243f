"""Repairing a mini-repository in turns, in a language that a model of a million parameters speaks.

A turn is one or more definitions; each takes the place of the module of that name, and is followed
by what the module's shown tests say of it, or by no more than that it is written.  `done` hands in.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from proofloop.agent.dialects import Chat, Reading
from proofloop.agent.limits import Memory
from proofloop.agent.site import Site
from proofloop.agent.tools import Parameter, ToolSpec, json_call
from proofloop.core.episode import ToolCall, ToolResult
from proofloop.core.sandbox import Command, Entry, Execution
from proofloop.envs.minirepos.repository import DONE, NOTES, untold


def memory(max_notes_tokens: int) -> Memory:
    """Its words are those of the pre-training corpus."""
    return Memory(max_notes_tokens=max_notes_tokens, ask=NOTES, heading=NOTES)


@dataclass(frozen=True, slots=True)
class Definitions:
    """Texts that are definitions, or DONE."""

    name: str = "definitions"
    stop: tuple[str, ...] = ()

    def opening(self, messages: Sequence[Chat], tools: Sequence[ToolSpec]) -> tuple[Chat, ...]:
        return tuple(messages)

    def shown(self, tools: Sequence[ToolSpec]) -> None:
        return None

    def read(self, text: str) -> Reading:
        if text.strip() == DONE:
            return Reading(calls=(ToolCall(tool="submit", arguments="{}"),))
        parts = _parts(text)
        if not parts:
            return Reading(fault="no definition")
        return Reading(calls=tuple(json_call("define", name=n, source=s) for n, s in parts))

    def replies(
        self, calls: Sequence[ToolCall], results: Sequence[ToolResult], say: str
    ) -> tuple[Chat, ...]:
        parts = [
            *(result.text for result in results),
            *([f"# {say.strip('[]# ')}\n"] if say else []),
        ]
        return ({"role": "user", "content": "".join(parts)},)


_BEGINS = re.compile(r"^(?:def (\w+)\(|(\w+) ?= ?lambda\b)", re.MULTILINE)


def _parts(text: str) -> list[tuple[str, str]]:
    """Top-level definitions by name, each up to the next one."""
    found = list(_BEGINS.finditer(text))
    ends = [m.start() for m in found[1:]] + [len(text)]
    return [
        (m[1] or m[2], text[m.start() : end].rstrip() + "\n")
        for m, end in zip(found, ends, strict=False)  # none found: one end
    ]


class ShownTests(Protocol):
    def __call__(self, name: str, source: str) -> str:
        """What a policy is told of a module's new text.  Raises SandboxLost."""
        ...


@dataclass(frozen=True, slots=True)
class Define:
    """A module's new text."""

    names: tuple[str, ...]
    """The repository's modules."""
    tell: ShownTests | None
    """None: nothing is said of tests."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="define",
            description="Write a module anew.",
            parameters={
                "name": Parameter(type="string", description="Of the module and its function."),
                "source": Parameter(type="string", description="All of its text."),
            },
        )

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        name, source = arguments["name"], arguments["source"]
        if name not in self.names:
            return site.result(f"# no {name}\n", is_fault=True)
        site.workspace.write(f"{name}.py", source.encode(errors="replace"))
        return site.result(untold(name) if self.tell is None else self.tell(name, source))


class Files:
    """A tree in memory, for episodes whose tools run no commands (`core.sandbox.Workspace`)."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = {path: text.encode() for path, text in files.items()}

    def run(self, command: Command) -> Execution:
        raise NotImplementedError(f"no commands run here: {command.argv}")

    def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self._files[path] = data

    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        data = self._files.get(path)
        return data if data is not None and len(data) <= max_bytes else None

    def entries(self, *, max_entries: int) -> tuple[Entry, ...] | None:
        return tuple(
            Entry(path=path, kind="file", size_bytes=len(data), is_executable=False)
            for path, data in sorted(self._files.items())
        )

    def close(self) -> None:
        pass

    def texts(self) -> dict[str, str]:
        return {path: data.decode() for path, data in sorted(self._files.items())}
