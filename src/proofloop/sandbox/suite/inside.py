"""One run of a suite, in a process of its own: take the job, give up what is not its own, then
let pytest import the project and run its tests.

Nothing here is trusted once the project's first line has run: the answer shares this interpreter
and may replace any of it.  All that it gains is the freedom to make claims.  The test modules are
handed over in memory; on disk there are empty files in their place, so that their paths exist.
"""

import base64
import importlib
import json
import linecache
import os
import random
import resource
import signal
import struct
import sys
from collections.abc import Generator
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NoReturn

from proofloop.sandbox import kernel, seccomp
from proofloop.sandbox.suite import frames, overlay
from proofloop.sandbox.suite.reach import Reach

CLAIMS_FD = 3
_UNTRUSTED_STATUS = 7
_MAX_NAME = 60
_MAX_SAID = 400
_AGAIN_S = 1.0
"""After which a test that goes on past its time is interrupted once more: what it entered may wait
on its way out for what it started."""
_LEFT_OUT = (
    # what writes files, prints, or takes descriptors of its own
    "cacheprovider", "faulthandler", "junitxml", "pastebin", "stepwise", "terminal",
    # what takes time and says nothing of a test
    "doctest", "setuponly", "setupplan", "threadexception", "unraisableexception",
)  # fmt: skip


def run(settings: dict[str, Any], claims_fd: int, template: bytes) -> NoReturn:
    """`template`: the system-call filter of a run that may not fork; empty for others."""
    try:
        job = json.loads(frames.read(0))
        os.setsid()
        reader, writer = os.pipe()
        os.dup2(reader, 0)  # at its end: the jobs to come are not for this process
        os.close(writer)
        os.dup2(claims_fd, CLAIMS_FD)  # over the controller's report
        os.set_inheritable(CLAIMS_FD, False)
        kernel.close_from(CLAIMS_FD + 1)
        most = settings["cpu_s"]
        resource.setrlimit(resource.RLIMIT_CPU, (most, most + 1))
        sys.path[:] = settings["paths"]
        if template:
            own = struct.pack("<I", os.getpid())
            kernel.install_filter(template.replace(seccomp.OWN_PID, own))
        random.seed(job["seed"])
        claims = _run_pytest(settings, job)
        frames.write(CLAIMS_FD, json.dumps(claims).encode())
    except BaseException:
        os._exit(_UNTRUSTED_STATUS)
    os._exit(0)


def _run_pytest(settings: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    import pytest

    project = settings["project"]
    sources = _decoded(project, job["modules"])
    codes: dict[str, CodeType] = settings["codes"]
    overlay.install(_decoded(project, job.get("overlay", {})), codes)
    for path in job.get("held", []):  # whose code the controller has
        sources[os.path.join(project, path)] = b""
    names = _module_names(settings, sources)
    reach = Reach(project, job["trace"]) if job.get("trace") else None
    errors: dict[str, str] = {}
    """Node id -> type of the last exception that pytest met there."""
    outcomes: dict[str, list[str]] = {}
    """Node id -> outcomes of its phases, in the order in which the tests ended."""
    collected: list[str] = []
    tells: bool = job.get("tells", False)
    said: dict[str, str] = {}
    seconds: dict[str, float] = {}
    most_s: float = job.get("test_s", 0.0)
    spin_s: float = job.get("spin_s", 0.0)

    class OverTime(pytest.fail.Exception):
        """A test has run past its time; no `except Exception` of its own holds this up."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise OverTime(f"over {most_s:g} s")

    def end(number: int, frame: object) -> None:
        os.kill(os.getpid(), signal.SIGXCPU)

    def limited() -> Generator[None, Any, Any]:
        """A phase of a test: interrupted once it takes `test_s`, and with it all of the run once it
        has computed for `spin_s`, as if the run's own time were over; 0: never."""
        if most_s:
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, most_s, _AGAIN_S)
        if spin_s:
            signal.signal(signal.SIGVTALRM, end)
            signal.setitimer(signal.ITIMER_VIRTUAL, spin_s)
        try:
            return (yield)
        finally:
            if most_s:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            if spin_s:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)

    class HeldModule(pytest.Module):
        """A test module whose source is in memory."""

        def _getobj(self) -> ModuleType:
            path = str(self.path)
            return _load(names[path], path, sources[path] or codes.get(path, b""))

    class Recorder:
        """Our plugin: where the tests come from, and what became of them."""

        def pytest_pycollect_makemodule(self, module_path: Path, parent: Any) -> Any:
            if str(module_path) in sources:
                return HeldModule.from_parent(parent, path=module_path)
            return None

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items: list[Any]) -> None:
            collected.extend(item.nodeid for item in items)
            if job["select"] is not None:
                items[:] = [item for item in items if item.nodeid in job["select"]]
            first, step = job.get("share", (0, 1))
            items[:] = items[first::step]

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(self, item: Any, call: Any) -> Generator[None, Any, Any]:
            report = yield
            if call.excinfo is not None:  # by now; that of a TestCase comes late
                errors[item.nodeid] = call.excinfo.type.__name__[:_MAX_NAME]
                if tells:
                    said[item.nodeid] = str(call.excinfo.value)[:_MAX_SAID]
            return report

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item: Any) -> Generator[None, Any, Any]:
            if reach is not None:
                reach.start(item.nodeid)
            result = yield
            if reach is not None:
                reach.stop()
            return result

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_setup(self) -> Generator[None, Any, Any]:
            return (yield from limited())

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_call(self) -> Generator[None, Any, Any]:
            return (yield from limited())

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_teardown(self) -> Generator[None, Any, Any]:
            return (yield from limited())

        def pytest_exception_interact(self, call: Any, report: Any) -> None:
            if isinstance(report, pytest.CollectReport):
                errors.setdefault("", call.excinfo.type.__name__[:_MAX_NAME])
                if tells:
                    said.setdefault("", str(call.excinfo.value)[:_MAX_SAID])

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                errors.setdefault("", "Exception")

        def pytest_runtest_logreport(self, report: Any) -> None:
            is_expected = hasattr(report, "wasxfail")
            outcome = "expected_failure" if is_expected else report.outcome
            outcomes.setdefault(report.nodeid, []).append(outcome)
            seconds[report.nodeid] = seconds.get(report.nodeid, 0.0) + report.duration

    arguments = ["-c", settings["config"], f"--rootdir={project}", f"--confcutdir={project}"]
    for plugin in _LEFT_OUT:
        arguments += ["-p", f"no:{plugin}"]
    arguments += ["--assert=plain", "--import-mode=importlib"]
    if settings["scratch"]:
        os.environ["TMPDIR"] = os.path.join(project, settings["scratch"])
        arguments += [f"--basetemp={settings['scratch']}/pytest"]
    else:
        arguments += ["--capture=sys"]  # the other way keeps what is printed in files
    for plugin in settings["plugins"]:
        arguments += ["-p", plugin]
    if reach is not None:
        reach.start("")
    status = pytest.main([*arguments, *sources], plugins=[Recorder()])
    claims: dict[str, Any] = {
        "collected": collected,
        "outcomes": [
            {"id": node, "outcome": _merged(phases), "error": errors.get(node, "")}
            for node, phases in outcomes.items()
        ],
        "collection_error": errors.get("", ""),
        "status": int(status),
    }
    if tells:
        more: dict[str, Any] = {"said": said, "seconds": seconds, "loaded": sorted(sys.modules)}
        claims["more"] = more | ({} if reach is None else {"reach": reach.told()})
    return claims


def _decoded(project: str, files: dict[str, str]) -> dict[str, bytes]:
    return {os.path.join(project, path): base64.b64decode(text) for path, text in files.items()}


def _module_names(settings: dict[str, Any], sources: dict[str, bytes]) -> dict[str, str]:
    """As a project names its test modules: by the packages that they lie in, if any."""
    names: dict[str, str] = {}
    for path in sources:
        parts = [os.path.basename(path).removesuffix(".py")]
        folder = os.path.dirname(path)
        while os.path.exists(os.path.join(folder, "__init__.py")):
            parts.insert(0, os.path.basename(folder))
            folder = os.path.dirname(folder)
        names[path] = ".".join(parts)
    return names


def _load(name: str, path: str, source: bytes | CodeType) -> ModuleType:
    package = name.rpartition(".")[0]
    if package:
        importlib.import_module(package)
    module = ModuleType(name)
    module.__file__, module.__package__ = path, package
    sys.modules[name] = module
    if isinstance(source, bytes):  # for tests that look at tracebacks; no file can be read for it
        lines = source.decode(errors="replace").splitlines(keepends=True)
        linecache.cache[path] = (len(source), None, lines, path)
    code = compile(source, path, "exec", dont_inherit=True) if isinstance(source, bytes) else source
    exec(code, module.__dict__)
    return module


def _merged(phases: list[str]) -> str:
    """Passed only where every phase (set-up, call, parts of it, tear-down) passed."""
    if len(phases) >= 3 and all(phase == "passed" for phase in phases):
        return "passed"
    return next((phase for phase in phases if phase != "passed"), "incomplete")
