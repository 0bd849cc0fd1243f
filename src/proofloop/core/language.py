"""Programming languages of answers, as data: a file, a command that compiles it, one that runs it.

Commands are argument lists.  No shell ever sees them, and nothing of an answer enters them.
"""

import sys

from proofloop.core.record import Record

FOLDER = "{folder}"
"""In a run command: the folder that holds the program, as seen from where it is run."""


class Language(Record):
    """How an answer's text becomes a program that runs."""

    name: str
    title: str
    """As a prompt calls it."""
    file: str
    """The source's name, in a folder of its own; the compile command starts there."""
    run: tuple[str, ...]
    """With `FOLDER` where the program's own folder is meant."""
    compile: tuple[str, ...] = ()
    """None: the source is run as it stands, and counts as compiled."""
    fences: tuple[str, ...] = ()
    """Tags of fenced blocks in this language, in small letters; a block without a tag is taken
    where no block has one of these."""
    read: tuple[str, ...] = ()
    """Files and folders of the host that compiler and program need beside the system's."""
    env: tuple[tuple[str, str], ...] = ()
    """Variables that they need."""
    compile_s: int = 10
    """Processor seconds that the compiler may take."""
    num_processes: int = 1
    """Processes and threads that the running program may have."""
    memory_bytes: int | None = None
    """Of the running program; None: the verifier's limit."""
    is_forked: bool = False
    """For Python: a program that works on no files runs in a process forked from the sandbox's own
    interpreter, which is an order of magnitude faster than to start one."""
    probe: str = ""
    """A program that must compile and end with status 0; tried before any answer is judged, so that
    a broken compiler is nobody's zero.  Empty: not tried."""


_MAIN_C = "int main(void) { return 0; }\n"
_WARNINGS_OFF = ("-w", "-fmax-errors=3")

PYTHON = Language(
    name="python",
    title="Python",
    file="main.py",
    run=(f"{sys.base_prefix}/bin/python3", "-B", f"{FOLDER}/main.py"),
    fences=("python", "python3", "py"),
    read=(sys.base_prefix,),
    num_processes=16,
    probe="pass\n",
    is_forked=True,
)

_BUILT_IN = (
    PYTHON,
    Language(
        name="c",
        title="C",
        file="main.c",
        compile=("gcc", "-std=gnu17", "-O2", *_WARNINGS_OFF, "-o", "main", "main.c", "-lm"),
        run=(f"{FOLDER}/main",),
        fences=("c", "h"),
        probe=f"#include <math.h>\n#include <stdio.h>\n{_MAIN_C}",
    ),
    Language(
        name="cpp",
        title="C++",
        file="main.cpp",
        compile=("g++", "-std=gnu++17", "-O2", *_WARNINGS_OFF, "-o", "main", "main.cpp"),
        run=(f"{FOLDER}/main",),
        fences=("cpp", "c++", "cc", "cxx", "hpp"),
        probe="#include <vector>\nint main() { return std::vector<int>(3)[2]; }\n",
    ),
    Language(
        name="javascript",
        title="JavaScript (Node.js)",
        file="main.js",
        compile=("node", "--check", "main.js"),
        run=("node", f"{FOLDER}/main.js"),
        fences=("javascript", "js", "node", "mjs", "cjs"),
        num_processes=32,
        memory_bytes=4 * 1024**3,
        probe="process.stdout.write(require('fs').readFileSync(0))\n",
    ),
    Language(
        name="bash",
        title="Bash",
        file="main.sh",
        compile=("bash", "-n", "main.sh"),
        run=("bash", f"{FOLDER}/main.sh"),
        fences=("bash", "sh", "shell"),
        num_processes=16,
        probe=":\n",
    ),
)
BUILT_IN = {language.name: language for language in _BUILT_IN}
"""By name."""
