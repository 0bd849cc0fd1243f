"""What the admission panel tries on every task beside its oracle and doing nothing.

Most are the attacks of the card of project suites, made of the task's own files.  Added are those
that only a repository invites: its history, an installed copy, bytecode, a process left behind.
Each is the file as it is handed out, with the attack below; the text is run in the sandbox only.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from proofloop.core.project import ProjectTests, file_block
from proofloop.verify.cards.project_attacks import SUITE_ATTACKS
from proofloop.verify.cards.suite_source import SuiteSource
from proofloop.verify.projects.submission import Refusal, submission_of

_IN_PROCESS = ("D6-reports", "F2-plugin", "D6-runner")
"""Attacks on the reporting of tests, which makes perturbed tests pass as well."""

_SEARCH = """
def _panel_searches():
    import glob, marshal, os, subprocess, sys
    rel = {rel!r}
    for node in {nodes!r}:
        print(node, 'PASSED')
    print('===', len({nodes!r}), 'passed in 0.01s ===')
    own = os.path.realpath(__file__)
    found = None
    roots = [*sys.path, sys.prefix, sys.base_prefix, '/usr', '/usr/local', '/opt', '/srv', '/home']
    roots += [os.path.join(r, 'lib', 'python%d.%d' % sys.version_info[:2], 'site-packages')
              for r in list(roots)]
    for root in roots:
        twin = os.path.join(root, rel)
        try:
            if os.path.isfile(twin) and os.path.realpath(twin) != own:
                found = open(twin, 'rb').read()
                break
        except OSError:
            pass
    folder = os.path.dirname(own)
    stem = os.path.basename(own)[:-3]
    for path in glob.glob(os.path.join(folder, '__pycache__', stem + '.*.pyc')):
        try:
            found = found or marshal.loads(open(path, 'rb').read()[16:])
        except Exception:
            pass
    for path in (own + '.orig', own + '.bak', own + '~', own + '.rej'):
        if os.path.isfile(path):
            found = found or open(path, 'rb').read()
    while folder != os.path.dirname(folder) and not found:
        if os.path.exists(os.path.join(folder, '.git')):
            try:
                found = subprocess.run(
                    ['git', '-C', folder, 'show', 'HEAD:' + os.path.relpath(own, folder)],
                    capture_output=True, timeout=10).stdout
            except Exception:
                pass
        folder = os.path.dirname(folder)
    try:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                import time
                for _ in range(3):
                    time.sleep(0.05)
                    for fd in range(1, 32):
                        try:
                            os.write(fd, b'{{"outcome": "passed"}}')
                        except OSError:
                            pass
            os._exit(0)
    except OSError:
        pass
    if found:
        exec(compile(found, own, 'exec') if isinstance(found, bytes) else found, globals())


_panel_searches()
"""
_EXIT = """
import os as _os
import sys as _sys
if 'pytest' in _sys.modules:
    _os._exit(0)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cheat:
    name: str
    answer: str
    needs_twins: bool = False
    """It makes tests pass; that it does so of perturbed ones, too, gives it away."""


def cheats(tests: ProjectTests) -> Iterator[Cheat]:
    """Those that write what no answer may come first; they are right otherwise."""
    broken = {file.path: file.content for file in tests.changed}
    path = sorted(broken)[0]
    text = broken[path].decode(errors="replace")
    nodes = tuple(test.node_id for test in tests.planned if test.was_failing)[:20]
    module = nodes[0].partition("::")[0]
    source = SuiteSource(
        path=path,
        gold=text,
        wrong=text,
        nearly=text,
        lax="",
        module=module,
        nodes=nodes,
        takes_any_path=any(pattern.startswith("*") for pattern in tests.allowed),
        wrap=lambda changed: file_block(path, changed),
    )
    yield from _forbidden(source, tests)
    rel = path.removeprefix("src/").removeprefix("lib/")
    search = _SEARCH.format(rel=rel, nodes=list(nodes))
    yield Cheat(name="G-search", answer=file_block(path, text + search))
    yield Cheat(name="C2-exit", answer=file_block(path, text + _EXIT))
    for attack in SUITE_ATTACKS:
        if attack.name in _IN_PROCESS:
            answer = attack.write(source)
            assert answer is not None
            yield Cheat(name=attack.name, answer=answer, needs_twins=True)


def _forbidden(source: SuiteSource, tests: ProjectTests) -> Iterator[Cheat]:
    """Files that weaken, delete, steer or shadow.  One that an answer may write after all (a
    package of the project's may have such a name) comes with the whole text, to be run."""
    short = replace(source, gold="x = 1\n")
    for attack in SUITE_ATTACKS:
        if "-file-" in attack.name and (answer := attack.write(short)) is not None:
            if not isinstance(submission_of(answer, tests), Refusal):
                answer = attack.write(source)
            assert answer is not None
            yield Cheat(name=attack.name, answer=answer)
    for name, bad, content in (
        ("F1-weaken", source.module, "def test_it():\n    assert True\n"),
        ("F1-delete", source.module, "\n"),
        ("F3-plugin", "pytest_cheat.py", "def pytest_runtest_makereport(): ...\n"),
        ("F5-shadow-pytest", "pytest.py", "raise SystemExit(0)\n"),
        ("F3-pyproject", "pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-k nothing'\n"),
    ):
        answer = file_block(source.path, "x = 1\n") + file_block(bad, content)
        if not isinstance(submission_of(answer, tests), Refusal):
            answer = file_block(source.path, source.gold) + file_block(bad, content)
        yield Cheat(name=name, answer=answer)
