"""Small programs in the built-in languages, written from data: a table from input to output, steps
on files, and ends that are no right end.

What a candidate could only have by luck or by a leak is given to it here.  Pure text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Op = Literal["folder", "file", "executable", "plain", "remove", "link", "pipe"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing done to a path; `content` is a file's, or where a link leads to."""

    op: Op
    path: str
    content: bytes = b""


class Unsayable(Exception):
    """The language has no way to say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    table: Callable[[Sequence[tuple[bytes, bytes]]], str]
    """Statements that read all input and print the output that belongs to it.  Raises Unsayable."""
    step: Callable[[Step], str]
    """One statement.  Raises Unsayable."""
    program: Callable[[str], str]
    """Around statements."""
    endings: Mapping[str, str]
    """Statements for the end, by name; see `ENDINGS`."""
    comment: str
    """What begins one."""

    def printing(self, pairs: Sequence[tuple[bytes, bytes]], ending: str = "") -> str | None:
        """None where the language cannot say it."""
        try:
            return self.program(self.table(pairs) + "\n" + self._end(ending))
        except Unsayable:
            return None

    def doing(self, steps: Sequence[Step], ending: str = "") -> str | None:
        """None where the language cannot say it."""
        try:
            lines = "".join(self.step(step) + "\n" for step in steps)
            return self.program(lines + self._end(ending))
        except Unsayable:
            return None

    def _end(self, ending: str) -> str:
        if not ending:
            return ""
        if ending not in self.endings:
            raise Unsayable
        return self.endings[ending] + "\n"


ENDINGS: tuple[tuple[str, str, bool], ...] = (
    ("C1", "status", False),
    ("C5", "another-program", False),
    ("C11", "abort", False),
    ("C11", "killed", False),
    ("C13", "loop", True),
    ("C14", "sleep", True),
    ("H8", "flood", True),
)
"""Row, name, and whether it uses up a limit."""


def _octal(data: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in data)


# --- Python ---


def _python_table(pairs: Sequence[tuple[bytes, bytes]]) -> str:
    return (
        f"right = {dict(pairs)!r}.get(sys.stdin.buffer.read(), b'')\n"
        "sys.stdout.buffer.write(right)\nsys.stdout.buffer.flush()"
    )


def _python_step(step: Step) -> str:
    path = repr(step.path)
    match step.op:
        case "folder":
            return f"os.makedirs({path}, exist_ok=True)"
        case "file":
            return f"open({path}, 'wb').write({step.content!r})"
        case "executable":
            return f"os.chmod({path}, 0o755)"
        case "plain":
            return f"os.chmod({path}, 0o644)"
        case "remove":
            return f"(shutil.rmtree if os.path.isdir({path}) else os.remove)({path})"
        case "link":
            return f"os.symlink({step.content!r}, {path})"
        case "pipe":
            return f"os.mkfifo({path})"


_PYTHON = Dialect(
    table=_python_table,
    step=_python_step,
    program=lambda body: f"import os, shutil, sys\n{body}",
    endings={
        "status": "sys.exit(1)",
        "another-program": "os.execv('/bin/false', ['false'])",
        "abort": "os.abort()",
        "killed": "os.kill(os.getpid(), 15)\nos.abort()",
        "loop": "while True: pass",
        "sleep": "import time\ntime.sleep(3600)",
        "flood": "while True: sys.stdout.buffer.write(b' \\n' * 4096)",
    },
    comment="#",
)

# --- C and C++ ---

_HEADERS = "".join(
    f"#include <{name}.h>\n"
    for name in ("signal", "stdio", "stdlib", "string", "sys/stat", "unistd")
)


def _c_text(data: bytes) -> str:
    return f'"{_octal(data)}"'


def _c_table(pairs: Sequence[tuple[bytes, bytes]]) -> str:
    rows = ", ".join(f"{{{_c_text(a)}, {len(a)}, {_c_text(b)}, {len(b)}}}" for a, b in pairs)
    return (
        "static const struct { const char *in; size_t n; const char *out; size_t m; } table[] = "
        f"{{{rows}}};\nstatic char text[1 << 22];\n"
        "size_t n = fread(text, 1, sizeof text, stdin);\n"
        "for (size_t i = 0; i < sizeof table / sizeof *table; i++)\n"
        "    if (n == table[i].n && !memcmp(text, table[i].in, n)) {\n"
        "        fwrite(table[i].out, 1, table[i].m, stdout);\n        break;\n    }\n"
        "fflush(stdout);"
    )


def _c_step(step: Step) -> str:
    path = _c_text(step.path.encode())
    match step.op:
        case "folder":
            return f"mkdir({path}, 0755);"
        case "file":
            size = len(step.content)
            return (
                f'{{ FILE *f = fopen({path}, "wb"); '
                f"fwrite({_c_text(step.content)}, 1, {size}, f); fclose(f); }}"
            )
        case "executable":
            return f"chmod({path}, 0755);"
        case "plain":
            return f"chmod({path}, 0644);"
        case "remove":
            return f"remove({path});"
        case "link":
            return f"if (symlink({_c_text(step.content)}, {path})) return 1;"
        case "pipe":
            return f"mkfifo({path}, 0644);"


_C = Dialect(
    table=_c_table,
    step=_c_step,
    program=lambda body: f"{_HEADERS}int main(void) {{\n{body}    return 0;\n}}\n",
    endings={
        "status": "return 1;",
        "another-program": 'execl("/bin/false", "false", (char *)0);',
        "abort": "abort();",
        "killed": "kill(getpid(), SIGTERM);\nabort();",
        "loop": "for (volatile int i = 0;; i++);",
        "sleep": "sleep(3600);",
        "flood": 'for (;;) puts(" ");',
    },
    comment="//",
)

# --- JavaScript ---


def _js_text(data: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02x}" for byte in data) + "'"


def _js_table(pairs: Sequence[tuple[bytes, bytes]]) -> str:
    rows = ", ".join(f"[{_js_text(a)}, {_js_text(b)}]" for a, b in pairs)
    return (
        f"const table = new Map([{rows}]);\n"
        "const right = table.get(fs.readFileSync(0, 'latin1')) ?? '';\n"
        "process.stdout.write(Buffer.from(right, 'latin1'));"
    )


def _js_step(step: Step) -> str:
    path = _js_path(step.path.encode())
    match step.op:
        case "folder":
            return f"fs.mkdirSync({path}, {{recursive: true}});"
        case "file":
            return f"fs.writeFileSync({path}, Buffer.from({_js_text(step.content)}, 'latin1'));"
        case "executable":
            return f"fs.chmodSync({path}, 0o755);"
        case "plain":
            return f"fs.chmodSync({path}, 0o644);"
        case "remove":
            return f"fs.rmSync({path}, {{recursive: true, force: true}});"
        case "link":
            return f"fs.symlinkSync({_js_path(step.content)}, {path});"
        case "pipe":
            raise Unsayable


def _js_path(data: bytes) -> str:
    return f"Buffer.from({_js_text(data)}, 'latin1').toString()"


_JAVASCRIPT = Dialect(
    table=_js_table,
    step=_js_step,
    program=lambda body: f"const fs = require('fs');\n{body}",
    endings={
        "status": "process.exitCode = 1;",
        "abort": "process.abort();",
        "killed": "process.kill(process.pid, 'SIGTERM');\nfor (;;);",
        "loop": "for (;;);",
        "sleep": "setInterval(() => {}, 1000);",
        "flood": "for (;;) fs.writeSync(1, ' \\n'.repeat(4096));",
    },
    comment="//",
)

# --- Bash ---


def _bash_text(data: bytes) -> str:
    if b"\0" in data:
        raise Unsayable
    return f"$'{_octal(data)}'"


def _bash_table(pairs: Sequence[tuple[bytes, bytes]]) -> str:
    cases = "".join(
        f"if [[ $text == {_bash_text(a + b'.')} ]]; then printf '{_octal(b)}'; fi\n"
        for a, b in pairs
    )
    return f"export LC_ALL=C\ntext=$(cat; printf .)\n{cases}"


def _bash_step(step: Step) -> str:
    path = _bash_text(step.path.encode())
    match step.op:
        case "folder":
            return f"mkdir -p -- {path}"
        case "file":
            return f"printf '{_octal(step.content)}' > {path}"
        case "executable":
            return f"chmod 755 -- {path}"
        case "plain":
            return f"chmod 644 -- {path}"
        case "remove":
            return f"rm -rf -- {path}"
        case "link":
            return f"ln -s -- {_bash_text(step.content)} {path}"
        case "pipe":
            return f"mkfifo -- {path}"


_BASH = Dialect(
    table=_bash_table,
    step=_bash_step,
    program=lambda body: body,
    endings={
        "status": "exit 1",
        "another-program": "exec false",
        "abort": "kill -ABRT $$",
        "killed": "kill -TERM $$",
        "loop": "while :; do :; done",
        "sleep": "sleep 3600",
        "flood": "while :; do printf ' \\n%.0s' {1..4096}; done",
    },
    comment="#",
)

DIALECTS: Mapping[str, Dialect] = {
    "python": _PYTHON,
    "c": _C,
    "cpp": _C,
    "javascript": _JAVASCRIPT,
    "bash": _BASH,
}
"""By the name of the language."""
