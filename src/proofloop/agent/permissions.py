"""What an agent may do, as one object for all tools; what is denied is recorded and shown.

Two lines hold it.  Tools ask `Permissions` before they act, so that a denial has a name.  Commands
are programs of the agent's own, which ask nobody: for them the same rules become a
`core.sandbox.Policy`, which Landlock and namespaces carry out.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from proofloop.core.record import Record
from proofloop.core.sandbox import Entry, Limits, Policy

COMMAND_LIMITS = Limits(
    wall_s=60.0,
    cpu_s=60,
    memory_bytes=1 << 30,
    num_processes=64,
    num_open_files=256,
    file_bytes=64 << 20,
    output_bytes=256 * 1024,
)
_PARTS = re.compile(r"\s*(?:;|&&|\|\||\||&|\n|\$\(|`|\(|\{)\s*")
"""Where in a shell's text another command may begin."""

_NEW = "a new file"
_REAL = ("file", "folder")


class Permissions(Record):
    """Paths are globs from the workspace's root: `*` stands for anything within a part of a path, a
    part `**` for any number of parts.  What is named both ways is denied."""

    read: tuple[str, ...] = ("**",)
    no_read: tuple[str, ...] = ()
    """Beyond the reach of tools and commands: closed where a command runs."""
    write: tuple[str, ...] = ("**",)
    no_write: tuple[str, ...] = ()
    commands: tuple[str, ...] = ("*",)
    """Patterns of whole commands, in which `*` stands for anything."""
    no_commands: tuple[str, ...] = ()
    """Patterns that no command in a shell's text may begin with.  They keep a policy from habits
    and make its wish known; what it must not do, paths, `network` and `limits` keep from it."""
    network: bool = False
    env: tuple[tuple[str, str], ...] = ()
    """Variables of commands; nothing is inherited."""
    secrets: tuple[str, ...] = ()
    """Names of variables of ours that commands get, with their values masked in all that is shown
    to the policy."""
    host_read: tuple[str, ...] = ()
    """Absolute paths of the machine, such as an interpreter's, that commands may read."""
    no_host_read: tuple[str, ...] = ()
    """Absolute paths within those, or within the system's own, whose content they may not."""
    limits: Limits = COMMAND_LIMITS

    def may_read(self, path: str) -> str:
        """Empty, or the rule that says no."""
        return _verdict(path, self.read, self.no_read, "read")

    def may_write(self, path: str) -> str:
        """As `may_read`; what must not be read must not be written either."""
        return self.may_read(path) or _verdict(path, self.write, self.no_write, "write")

    def may_run(self, command: str) -> str:
        """As `may_read`, of a shell's text."""
        text = command.strip()
        if not any(_glob_text(pattern).fullmatch(text) for pattern in self.commands):
            return f"commands: {', '.join(self.commands)}"
        for pattern in self.no_commands:
            found = _glob_text(pattern.rstrip("*") + "*")
            if any(found.fullmatch(part) for part in _PARTS.split(text)):
                return f"no_commands: {pattern}"
        return ""

    @property
    def restricts_paths(self) -> bool:
        return bool(self.no_read or self.no_write) or not (
            self.read == ("**",) and self.write == ("**",)
        )

    def policy(
        self, entries: Sequence[Entry], environment: Iterable[tuple[str, str]] = ()
    ) -> Policy:
        """For commands, of a workspace that holds `entries`.

        The kernel grants by what is there: writing is allowed in each folder below which nothing is
        denied, and in single files elsewhere; so in a folder that holds something denied, no new
        file can be made.  A command cannot be held to patterns of names that are not there yet.
        """
        write = (".",) if self.write == ("**",) and not self.no_write and not self.no_read else None
        return Policy(
            limits=self.limits,
            read=self.host_read,
            write=tuple(_writable(self, entries)) if write is None else write,
            hidden=(*_hidden(self, entries), *self.no_host_read),
            network=self.network,
            env=(*self.env, *environment),
        )


def matches(pattern: str, path: str) -> bool:
    return _glob_path(pattern).fullmatch(path) is not None


def _verdict(path: str, yes: Sequence[str], no: Sequence[str], word: str) -> str:
    for pattern in no:
        if matches(pattern, path):
            return f"no_{word}: {pattern}"
    if any(matches(pattern, path) for pattern in yes):
        return ""
    return f"{word}: {', '.join(yes) or 'nothing'}"


@lru_cache(maxsize=512)
def _glob_path(pattern: str) -> "re.Pattern[str]":
    """`a/**` also matches `a` itself."""
    out = ""
    parts = pattern.split("/")
    for i, part in enumerate(parts):
        is_last = i == len(parts) - 1
        if part == "**":
            out += ".*" if not i and is_last else "(?:/.*)?" if is_last else "(?:[^/]+/)*"
            continue
        out += "".join("[^/]*" if c == "*" else "[^/]" if c == "?" else re.escape(c) for c in part)
        if not is_last and parts[i + 1 :] != ["**"]:
            out += "/"
    return re.compile(out, re.DOTALL)


@lru_cache(maxsize=512)
def _glob_text(pattern: str) -> "re.Pattern[str]":
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def _hidden(permissions: Permissions, entries: Sequence[Entry]) -> list[str]:
    """The topmost entries at and below which nothing may be read."""
    shown = _with_above(e.path for e in entries if not permissions.may_read(e.path))
    return _topmost(e.path for e in entries if e.path not in shown)


def _writable(permissions: Permissions, entries: Sequence[Entry]) -> list[str]:
    """The topmost folders in which anything may be made, and single files elsewhere."""
    folders = [".", *(e.path for e in entries if e.kind == "folder")]
    news = {f: _NEW if f == "." else f"{f}/{_NEW}" for f in folders}
    denied = [f for f, new in news.items() if permissions.may_write(new)]
    denied += [e.path for e in entries if e.kind == "file" and permissions.may_write(e.path)]
    closed = _with_above(denied)
    if "." not in closed:
        return ["."]
    return _topmost(e.path for e in entries if e.kind in _REAL and e.path not in closed)


def _with_above(paths: Iterable[str]) -> set[str]:
    """And all folders that they lie in."""
    found = set[str]()
    for path in paths:
        found.add(".")
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _topmost(paths: Iterable[str]) -> list[str]:
    found: list[str] = []
    for path in sorted(paths, key=lambda p: p.split("/")):
        if not (found and path.startswith(f"{found[-1]}/")):
            found.append(path)
    return found
