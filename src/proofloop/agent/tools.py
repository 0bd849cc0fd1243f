"""What an agent can do.  A tool gets arguments that fit its parameters and tells a text.

Nothing here raises for what a policy does: a wrong argument, a missing file or a denied action is
a result.  Of a tool of one's own: a class with `spec` and `run`, in the list given to `episode`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec

from proofloop.agent.site import MAX_ENTRIES, MAX_FILE_BYTES, Site, TreeTooLarge
from proofloop.core.episode import ToolCall, ToolResult
from proofloop.core.record import Record
from proofloop.core.sandbox import Ending, Execution

_TYPES: dict[str, type] = {"string": str, "integer": int, "boolean": bool}
MAX_MATCHES = 50


class Parameter(Record):
    type: str
    """string, integer or boolean."""
    description: str
    is_required: bool = True


class ToolSpec(Record):
    name: str
    description: str
    parameters: dict[str, Parameter]

    @property
    def schema(self) -> dict[str, Any]:
        """As OpenAI's API and chat templates have it."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": {
                    "type": "object",
                    "properties": {
                        name: {"type": p.type, "description": p.description}
                        for name, p in self.parameters.items()
                    },
                    "required": [n for n, p in self.parameters.items() if p.is_required],
                },
            },
        }


class Tool(Protocol):
    @property
    def spec(self) -> ToolSpec: ...

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        """Raises SandboxLost, nothing else."""
        ...


def use(tools: Sequence[Tool], site: Site, call: ToolCall) -> ToolResult:
    """Makes a call.  Raises SandboxLost."""
    tool = next((t for t in tools if t.spec.name == call.tool), None)
    if tool is None:
        names = ", ".join(t.spec.name for t in tools)
        return site.result(f"no tool {call.tool!r}; there are {names}", is_fault=True)
    arguments = _arguments(tool.spec, call.arguments)
    if isinstance(arguments, str):
        return site.result(f"{call.tool}: {arguments}", is_fault=True)
    try:
        return tool.run(site, arguments)
    except TreeTooLarge:
        rule = f"paths: over {MAX_ENTRIES} files, in which the rules cannot be looked up"
        return site.refusal(call.tool, "run a command", rule)


def _arguments(spec: ToolSpec, text: str) -> dict[str, Any] | str:
    """By name, or what is wrong with them."""
    try:
        found: Any = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return f"arguments are no JSON ({error})"
    if not isinstance(found, dict):
        return "arguments must be a JSON object"
    given = cast("dict[str, Any]", found)
    for name in given:
        if name not in spec.parameters:
            return f"no argument {name!r}; there are {', '.join(spec.parameters) or 'none'}"
    for name, parameter in spec.parameters.items():
        if name not in given or given[name] is None:
            if parameter.is_required:
                return f"argument {name!r} is missing"
            given.pop(name, None)
        elif type(given[name]) is not _TYPES[parameter.type]:
            return f"argument {name!r} must be of type {parameter.type}"
        elif parameter.type == "string" and "\0" in given[name]:
            return f"argument {name!r} holds a null character"
    return given


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell's text in the workspace, a new shell each time."""

    name: str = "shell"

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name=self.name,
            description="Run a command with sh in the repository's root. Nothing but files lasts "
            "from one command to the next: no folder, no variable, no process.",
            parameters={"command": Parameter(type="string", description="The command.")},
        )

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        command: str = arguments["command"]
        rule = site.permissions.may_run(command)
        if rule:
            return site.refusal(self.name, f"run {command}", rule)
        try:
            data = command.encode()
        except UnicodeEncodeError:
            return site.result("the command is no Unicode text", is_fault=True)
        if len(data) > 100_000:
            return site.result("the command is over 100,000 bytes", is_fault=True)
        return site.result(told(site.run(("sh", "-c", command))))


def told(execution: Execution) -> str:
    """Output, errors, and how it ended, if not well."""
    parts = [
        stream.decode(errors="replace").rstrip("\n")
        for stream in (execution.output, execution.errors)
        if stream.strip()
    ]
    if execution.ending is not Ending.EXITED:
        parts.append(f"[{execution.ending.replace('_', ' ')}: {execution.detail}]")
    elif execution.exit_status:
        parts.append(f"[exit status {execution.exit_status}]")
    return "\n".join(parts) or "[no output]"


@dataclass(frozen=True, slots=True)
class View:
    """Lines of a file, or what is in a folder."""

    max_lines: int = 200

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="view",
            description="Show a file with line numbers, or list a folder.",
            parameters={
                "path": Parameter(type="string", description="From the repository's root."),
                "start": Parameter(
                    type="integer", description="First line, from 1.", is_required=False
                ),
                "end": Parameter(type="integer", description="Last line.", is_required=False),
            },
        )

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        path = site.inside(arguments["path"])
        if path is None:
            return _outside(site, "view", arguments["path"])
        rule = "" if path == "." else site.permissions.may_read(path)
        if rule:
            return site.refusal("view", f"read {path}", rule)
        data = None if path == "." else site.workspace.read(path, max_bytes=MAX_FILE_BYTES)
        if data is None:
            return self._folder(site, path)
        if b"\0" in data:
            return site.result(f"{path}: {len(data)} bytes that are no text", is_fault=True)
        lines = data.decode(errors="replace").split("\n")
        if lines[-1] == "":
            lines.pop()
        start = max(1, arguments.get("start", 1))
        end = min(len(lines), arguments.get("end", len(lines)), start + self.max_lines - 1)
        shown = [f"{i:>5}  {lines[i - 1]}" for i in range(start, end + 1)]
        left = len(lines) - end
        foot = [f"[{left} more lines]"] if left > 0 else []
        return site.result("\n".join([*shown, *foot]) or "[empty]")

    def _folder(self, site: Site, path: str) -> ToolResult:
        above = "" if path == "." else f"{path}/"
        names = [
            e.path.removeprefix(above) + ("/" if e.kind == "folder" else "")
            for e in site.entries()
            if e.path.startswith(above)
            and "/" not in e.path.removeprefix(above)
            and not site.permissions.may_read(e.path)
        ]
        if not names and path != ".":
            return site.result(f"{path}: no such file or folder", is_fault=True)
        return site.result("\n".join(names) or "[empty]")


@dataclass(frozen=True, slots=True)
class Search:
    """Lines that hold a text."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="search",
            description="Find the lines that hold a text (exactly, no pattern).",
            parameters={
                "text": Parameter(type="string", description="What to look for."),
                "path": Parameter(
                    type="string", description="A file or folder; all if absent.", is_required=False
                ),
            },
        )

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        text, path = arguments["text"], site.inside(arguments.get("path", "."))
        if path is None:
            return _outside(site, "search", arguments["path"])
        if not text:
            return site.result("nothing to look for", is_fault=True)
        # What the permissions deny is hidden from the command, like from any other.
        told_ = site.run(("grep", "-rnIF", "--exclude-dir=.git", "-e", text, "--", path))
        lines = told_.output.decode(errors="replace").splitlines()
        if not lines:
            return site.result(f"no line holds it in {path}")
        lines = [line.removeprefix("./")[:300] for line in lines]
        more = len(lines) - MAX_MATCHES
        foot = [f"[{more} more]"] if more > 0 else []
        return site.result("\n".join([*lines[:MAX_MATCHES], *foot]))


@dataclass(frozen=True, slots=True)
class Edit:
    """Exact replacement of a text that a file holds once; a new file for none."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="edit",
            description="Replace `old`, which the file must hold exactly once, by `new`. With an "
            "empty `old`, make a new file.",
            parameters={
                "path": Parameter(type="string", description="From the repository's root."),
                "old": Parameter(type="string", description="Exactly as it stands in the file."),
                "new": Parameter(type="string", description="What takes its place."),
            },
        )

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        path = site.inside(arguments["path"])
        if path is None or path == ".":
            return _outside(site, "edit", arguments["path"])
        rule = site.permissions.may_write(path)
        if rule:
            return site.refusal("edit", f"write {path}", rule)
        data = site.workspace.read(path, max_bytes=MAX_FILE_BYTES)
        old, new = arguments["old"], arguments["new"]
        if data is None and old:
            return site.result(f"{path}: no such file", is_fault=True)
        if data and not old:
            return site.result(f"{path}: is there already; give `old`", is_fault=True)
        try:
            before = (data or b"").decode()
            after = before.replace(old, new) if old else new
            content = after.encode()
        except UnicodeError:
            return site.result(f"{path}: is no UTF-8 text", is_fault=True)
        found = before.count(old) if old else 1
        if found != 1:
            what = "does not hold `old`" if not found else f"holds `old` {found} times, not once"
            return site.result(f"{path}: {what}", is_fault=True)
        executable = data is not None and site.is_executable(path)
        return _written(site, path, content, executable, "edited" if old else "made")


def _written(site: Site, path: str, content: bytes, executable: bool, word: str) -> ToolResult:
    try:
        site.workspace.write(path, content, executable=executable)
    except OSError as error:
        return site.result(f"{path}: {error.strerror or error}", is_fault=True)
    return site.result(f"{word} {path}")


_DURATION = re.compile(
    r"^((?:=+ )?\d+ [a-z]+(?:, \d+ [a-z]+)*|(?:=+ )?no tests ran) in [\d.]+s(?: \([\d:]+\))?",
    re.MULTILINE,
)
"""In pytest's last line: how long it took, which no two runs have in common."""


@dataclass(frozen=True, slots=True)
class RunTests:
    """The tests that are in the workspace.  Hidden ones never are."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="run_tests",
            description="Run the repository's tests.",
            parameters={
                "path": Parameter(
                    type="string",
                    description="A test file, folder or node id; all if absent.",
                    is_required=False,
                )
            },
        )

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        path = arguments.get("path", "")
        if path and (site.inside(path) is None or path.startswith("-")):
            return _outside(site, "run_tests", path)
        said = told(site.run((*site.test_command, *([path] if path else []))))
        return site.result(_DURATION.sub(r"\1", said))


@dataclass(frozen=True, slots=True)
class Note:
    """A line for later: what outlasts a new context."""

    max_characters: int = 4000

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="note",
            description="Note something for yourself; notes stay when older turns are dropped.",
            parameters={"text": Parameter(type="string", description="What to remember.")},
        )

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        notes = f"{site.notes}\n{arguments['text']}".strip()
        if len(notes) > self.max_characters:
            return site.result(
                f"notes may have {self.max_characters} characters in all", is_fault=True
            )
        site.notes = notes
        return site.result("noted")


@dataclass(frozen=True, slots=True)
class Submit:
    """The end of the work."""

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="submit",
            description="Hand in the repository as it is now. Nothing can be done afterwards.",
            parameters={},
        )

    def run(self, site: Site, arguments: Mapping[str, Any]) -> ToolResult:
        site.is_submitted = True
        return site.result("submitted")


def _outside(site: Site, tool: str, path: str) -> ToolResult:
    return site.refusal(tool, f"reach {path}", "paths: only those within the repository")


STANDARD: tuple[Tool, ...] = (Shell(), View(), Search(), Edit(), RunTests(), Note(), Submit())


def json_call(tool: str, **arguments: object) -> ToolCall:
    return ToolCall(tool=tool, arguments=json.dumps(arguments))


NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
