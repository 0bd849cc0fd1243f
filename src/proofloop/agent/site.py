"""Where an agent works: a workspace, what it may do there, and what it has noted."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from proofloop.agent.permissions import Permissions
from proofloop.core.episode import Denial, ToolResult
from proofloop.core.sandbox import Command, Entry, Execution, Policy, Workspace

ROOT = "{root}"
"""In a variable's value: the workspace, as commands see it."""
MAX_ENTRIES = 100_000
MAX_FILE_BYTES = 4 << 20
"""Of a file that tools read."""


class TreeTooLarge(Exception):
    """Rules of paths cannot be looked up in so many files; no command is run under them."""


@dataclass(slots=True, kw_only=True)
class Site:
    """What tools act on.  One episode's own."""

    workspace: Workspace
    permissions: Permissions = field(default_factory=Permissions)
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that the repository's programs need, beside those of the permissions."""
    test_command: tuple[str, ...] = ("python3", "-m", "pytest", "-q", "--no-header", "--tb=short")
    """The visible tests; paths are added to it."""
    max_output: int = 10_000
    """Characters of one result."""
    notes: str = ""
    """Made with the tool."""
    memory: str = ""
    """What was noted when the context was full; written anew each time."""
    is_submitted: bool = False
    denied: list[Denial] = field(default_factory=list[Denial])
    step: int = 0
    secrets: Mapping[str, str] = field(default_factory=dict[str, str])
    """Values by name; where empty, what the process's environment has."""
    _policy: Policy | None = None
    _root: str = ""

    def __post_init__(self) -> None:
        self.secrets = self.secrets or {
            name: os.environ[name] for name in self.permissions.secrets if name in os.environ
        }

    @property
    def all_notes(self) -> str:
        return f"{self.notes}\n{self.memory}".strip()

    def run(self, argv: tuple[str, ...], stdin: bytes = b"") -> Execution:
        """A command under the permissions' policy.  Raises SandboxLost, TreeTooLarge."""
        return self.workspace.run(Command(argv=argv, policy=self.policy(), stdin=stdin))

    @property
    def root(self) -> str:
        """Of the workspace, as commands see it."""
        if not self._root:
            where = self.workspace.run(Command(argv=("pwd",), policy=Policy()))
            self._root = where.output.decode(errors="replace").strip() or "/workspace"
        return self._root

    def inside(self, path: str) -> str | None:
        """A path of the workspace, normalised; None where it leads out of it."""
        if path.startswith("/"):
            root = self.root
            if path != root and not path.startswith(f"{root}/"):
                return None
            path = path.removeprefix(root).lstrip("/")
        parts = [part for part in path.split("/") if part not in ("", ".")]
        return None if ".." in parts or "\0" in path else "/".join(parts) or "."

    def is_executable(self, path: str) -> bool:
        return any(e.path == path and e.is_executable for e in self.entries())

    def policy(self) -> Policy:
        """Of a command now: rules of paths are looked up in what is there now.  Raises
        TreeTooLarge."""
        given = ((name, value.replace(ROOT, self.root)) for name, value in self.environment)
        environment = (*given, *self.secrets.items())
        if not self.permissions.restricts_paths:
            if self._policy is None:
                self._policy = self.permissions.policy((), environment)
            return self._policy
        entries = self.workspace.entries(max_entries=MAX_ENTRIES)
        if entries is None:
            raise TreeTooLarge
        return self.permissions.policy(entries, environment)

    def entries(self) -> tuple[Entry, ...]:
        """Of a tree too large to list, none."""
        return self.workspace.entries(max_entries=MAX_ENTRIES) or ()

    def refusal(self, tool: str, action: str, rule: str) -> ToolResult:
        """Records a denial."""
        action = cut(_plain(action), 300)[0]
        self.denied.append(Denial(step=self.step, tool=tool, action=action, rule=rule))
        return ToolResult(text=f"denied: {action} ({rule})", is_fault=True, is_denied=True)

    def result(self, text: str, *, is_fault: bool = False, most: int | None = None) -> ToolResult:
        """Masked and cut."""
        for name, value in self.secrets.items():
            if value:
                text = text.replace(value, f"[secret {name}]")
        text, num_cut = cut(_plain(text), self.max_output if most is None else most)
        return ToolResult(text=text, is_fault=is_fault, num_cut=num_cut)


def _plain(text: str) -> str:
    """Without halves of characters, which JSON can name and no store takes."""
    return text.encode(errors="replace").decode()


def cut(text: str, most: int) -> tuple[str, int]:
    """Beginning and end of the text with a mark of what was left out between them, and how many
    characters that is."""
    if len(text) <= most:
        return text, 0
    head, tail = most * 2 // 3, most // 3
    num_cut = len(text) - head - tail
    end = text[len(text) - tail :] if tail else ""
    return f"{text[:head]}\n[… {num_cut} characters cut …]\n{end}", num_cut
