"""Faults of ours, injected for real: every answer gets one verdict, and none is wrong.

What broke on our side is Unscored with its cause, after further tries; what a program does to
itself is 0, never Unscored.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker

import places
import pytest
from faulty import ANSWERS, KEY, TASK, attempts, check

from proofloop.core import value
from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Call, Limits
from proofloop.core.verdict import Scored, Tier, Unscored, UnscoredCause
from proofloop.runs.verification import judge
from proofloop.sandbox import ForkServerSandbox, open_sandbox, probe
from proofloop.sandbox.descendants import descendants
from proofloop.sandbox.patience import Patience
from proofloop.verify import ProgramVerifier, build_verifier

_REPORTS = {report.tier: report for report in probe()}
_BRISK = Limits(wall_s=1.0, cpu_s=1)


@pytest.fixture(params=[Tier.T0, Tier.T1, Tier.T2])
def tier(request: pytest.FixtureRequest) -> Tier:
    report = _REPORTS[request.param]
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    return report.tier


@pytest.fixture
def verifier(tier: Tier) -> Iterator[ProgramVerifier]:
    with build_verifier(tier, _BRISK) as built:
        yield built


@contextmanager
def _mischief(
    act: Callable[[int], None], *, every_s: float, most: int = 1000
) -> Iterator[list[int]]:
    """Do `act` to one of the processes that we start, at random, again and again, `most` times: a
    slow machine sees no more of it than a fast one."""
    ours = set(descendants(os.getpid()))
    over = threading.Event()
    done: list[int] = []
    chance = random.Random(0)

    def run() -> None:
        while not over.wait(chance.uniform(0.5, 1.5) * every_s):
            targets = [pid for pid in descendants(os.getpid()) if pid not in ours]
            if targets and len(done) < most:
                with suppress(ProcessLookupError):
                    act(chance.choice(targets))
                    done.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def _judge_under_fire(tier: Tier, num: int, *, most_kills: int) -> int:
    """The number of Unscored verdicts."""
    resource_tracker.ensure_running()  # Python's own, which is not ours to kill
    before = set(descendants(os.getpid()))
    names = attempts(num)
    unscored = 0
    with _mischief(_kill, every_s=0.15, most=most_kills) as killed:
        while len(killed) < 4:
            verdicts = list(judge([ANSWERS[name].attempt for name in names], tier=tier, workers=3))
            unscored += sum(check(n, v) for n, v in zip(names, verdicts, strict=True))
    assert set(descendants(os.getpid())) == before
    print(f"{len(killed)} kills, {unscored} unscored")
    return unscored


def test_killed_at_random_no_verdict_is_wrong(tier: Tier) -> None:
    assert _judge_under_fire(tier, 60, most_kills=24) <= 6


@pytest.mark.slow
def test_killed_at_random_for_long_no_verdict_is_wrong(tier: Tier) -> None:
    assert _judge_under_fire(tier, 2000, most_kills=200) <= 40


def test_stopped_at_random_no_verdict_is_wrong(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proofloop.sandbox.session.ANSWER_DEADLINE_S", 1.0)
    names = [name for name in attempts(40) if not ANSWERS[name].takes_time]
    with build_verifier(tier, _BRISK) as verifier, _mischief(_stop, every_s=0.3) as stopped:
        while len(stopped) < 3:
            for name in names:
                answer = ANSWERS[name]
                check(name, verifier.verify(TASK, answer.key, answer.source))


def test_a_stopped_program_is_our_loss(tier: Tier) -> None:
    with open_sandbox(tier) as sandbox, sandbox.open_session(_BRISK) as session:
        assert session.start("def f(x):\n    return x\n")
        _stop(session._pid)
        with pytest.raises(SandboxLost, match="stopped from outside"):
            session.call(0, Call(function="f", args=value.encode((1,))))


def test_a_killed_program_is_our_loss(tier: Tier) -> None:
    with open_sandbox(tier) as sandbox, sandbox.open_session(_BRISK) as session:
        assert session.start("def f(x):\n    return x\n")
        _kill(session._pid)
        with pytest.raises(SandboxLost, match="killed from outside"):
            session.call(0, Call(function="f", args=value.encode((1,))))


def test_a_stopped_server_is_noticed_and_replaced(
    verifier: ProgramVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proofloop.sandbox.session.ANSWER_DEADLINE_S", 1.0)
    server = _server(verifier._sandbox)
    for pid in (server, *descendants(server)):
        _stop(pid)
    start = time.monotonic()
    verdict = verifier.verify(TASK, KEY, ANSWERS["right"].source)
    assert isinstance(verdict, Scored)
    assert verdict.passed
    assert time.monotonic() - start < 15
    assert _server(verifier._sandbox) != server
    assert not os.path.exists(f"/proc/{server}")


def _server(sandbox: ForkServerSandbox) -> int:
    assert sandbox._server is not None
    return sandbox._server.pid


_SELF_INFLICTED = {
    "kill": "import os\ndef f(x):\n    os.kill(os.getpid(), 9)\n",
    "stop": "import os\ndef f(x):\n    os.kill(os.getpid(), 19)\n    return 0\n",
    "timer": """
import ctypes, struct
def f(x):
    event = ctypes.create_string_buffer(struct.pack("QiiQQQQQQ", 0, 9, 0, 0, 0, 0, 0, 0, 0))
    timer = ctypes.create_string_buffer(8)
    made = ctypes.CDLL(None).timer_create(0, event, timer)
    when = ctypes.create_string_buffer(struct.pack("4q", 0, 0, 0, 10**6))
    ctypes.CDLL(None).timer_settime(timer, 0, when, None)
    import time
    time.sleep(0.2)
    return made
""",
    "own limit": """
import resource
def f(x):
    for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_STACK):
        try:
            resource.setrlimit(kind, (1, 1))
        except (OSError, ValueError):
            pass
    while True: pass
""",
    "channel": "import os\ndef f(x):\n    os.closerange(0, 99)\n    while True: pass\n",
    "abort": "import os\ndef f(x):\n    os.abort()\n",
    "stack": "def f(x):\n    import sys\n    sys.setrecursionlimit(10**9)\n    return f(f(x))\n",
    "memory": "def f(x):\n    return [bytearray(10**6) for _ in range(10**6)]\n",
    "descriptors": "import os\ndef f(x):\n    while True: os.dup(0)\n",
    "forks": "import os\ndef f(x):\n    while True: os.fork()\n",
    "strict": "import ctypes\ndef f(x):\n    ctypes.CDLL(None).prctl(22, 1)\n    open('/x')\n",
}  # fmt: skip


@pytest.mark.parametrize("name", list(_SELF_INFLICTED))
def test_what_a_program_does_to_itself_is_zero(verifier: ProgramVerifier, name: str) -> None:
    verdict = verifier.verify(TASK, KEY, _SELF_INFLICTED[name])
    assert isinstance(verdict, Scored), verdict
    assert verdict.reward == 0.0


def test_a_program_that_cannot_run_for_want_of_a_processor_gets_more_time() -> None:
    command = [sys.executable, "-S", "-c", "import os\nos.sched_setaffinity(0, {0})\nwhile 1: pass"]
    crowd = [subprocess.Popen(command) for _ in range(4)]
    try:
        time.sleep(1.5)
        patience = Patience(0.5)
        patience.waited_s = 0.5
        assert patience.extend(crowd[0].pid) == 0.5 == patience.left_s
        assert patience.extend(crowd[0].pid) == 0.0  # no more than the limit once more
        assert Patience(10.0).extend(0) == 0.0
    finally:
        for process in crowd:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_at_ten_times_the_load_no_verdict_is_wrong(tier: Tier) -> None:
    num = 10 * (os.cpu_count() or 1)
    crowd = [subprocess.Popen([sys.executable, "-S", "-c", "while 1: pass"]) for _ in range(num)]
    try:
        names = attempts(100)
        verdicts = list(judge([ANSWERS[name].attempt for name in names], tier=tier, workers=num))
        assert not sum(check(n, v) for n, v in zip(names, verdicts, strict=True))
    finally:
        for process in crowd:
            process.kill()
            process.wait()


def test_without_descriptors_it_is_our_loss_and_passes(tier: Tier) -> None:
    places.run([], _WITHOUT_DESCRIPTORS, tier)


_WITHOUT_DESCRIPTORS = """
import os, resource, sys
from faulty import ANSWERS, KEY, TASK, check
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Scored, Tier, Unscored, UnscoredCause
from proofloop.verify import build_verifier

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with build_verifier(Tier(sys.argv[1]), Limits()) as verifier:
    check("right", verifier.verify(TASK, KEY, ANSWERS["right"].source), may_be_unscored=False)
    for left in (0, 2, 5):
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        for fd in held[:left]:
            os.close(fd)
        for name in ("right", "wrong", "script"):
            verdict = verifier.verify(TASK, ANSWERS[name].key, ANSWERS[name].source)
            check(name, verdict)
            if left < 5:
                assert isinstance(verdict, Unscored), (left, verdict)
        for fd in held[left:]:
            os.close(fd)
        verdict = verifier.verify(TASK, KEY, ANSWERS["right"].source)
        check("right", verdict, may_be_unscored=False)
"""


def test_without_processes_it_is_our_loss_and_passes() -> None:
    places.run_as_ordinary_user(_WITHOUT_PROCESSES)


_WITHOUT_PROCESSES = """
import resource
from faulty import ANSWERS, KEY, TASK, check
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier, Unscored, UnscoredCause
from proofloop.verify import build_verifier

with build_verifier(Tier.T0, Limits()) as verifier:
    right = lambda: verifier.verify(TASK, KEY, ANSWERS["right"].source)
    check("right", right(), may_be_unscored=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.prlimit(verifier._sandbox._server.pid, resource.RLIMIT_NPROC, (0, hard))
    check("right", right(), may_be_unscored=False)  # by a new server
    resource.prlimit(verifier._sandbox._server.pid, resource.RLIMIT_NPROC, (0, hard))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
    for name in ("right", "wrong"):
        verdict = verifier.verify(TASK, KEY, ANSWERS[name].source)
        assert isinstance(verdict, Unscored), verdict
        assert verdict.cause is UnscoredCause.SANDBOX_LOST, verdict
    resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    check("right", right(), may_be_unscored=False)
"""


def test_while_the_kernel_refuses_namespaces_it_is_our_loss() -> None:
    places.run(places.in_user_namespace(), _WITHOUT_NAMESPACES)


_WITHOUT_NAMESPACES = """
from pathlib import Path
from faulty import ANSWERS, KEY, TASK, check
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier, Unscored, UnscoredCause
from proofloop.verify import build_verifier

with build_verifier(Tier.T1, Limits()) as verifier:
    for kind in ("pid", "user"):
        setting = Path(f"/proc/sys/user/max_{kind}_namespaces")
        before = setting.read_text()
        verdict = verifier.verify(TASK, KEY, ANSWERS["right"].source)
        check("right", verdict, may_be_unscored=False)
        setting.write_text("0")
        verifier._sandbox._server.is_lost = True
        for name in ("right", "wrong"):
            verdict = verifier.verify(TASK, KEY, ANSWERS[name].source)
            assert isinstance(verdict, Unscored), verdict
            assert verdict.cause is UnscoredCause.SANDBOX_LOST, verdict
        setting.write_text(before)
        verdict = verifier.verify(TASK, KEY, ANSWERS["right"].source)
        check("right", verdict, may_be_unscored=False)
"""


def test_a_full_temporary_space_changes_no_verdict(tier: Tier) -> None:
    prefix = [*places.in_user_namespace(), "sh", "-c", _FILL, "sh"]
    if tier is Tier.T1 or tier is Tier.T2:
        found = places.run(prefix, _NESTED, tier)
        if found.strip() != "yes":
            pytest.skip(f"{tier} cannot be nested here")
    places.run(prefix, _IN_A_FULL_SPACE, tier)


_FILL = (
    'mount -t tmpfs -o size=16k full /mnt && head -c 1M /dev/zero > /mnt/all 2>/dev/null; '
    'TMPDIR=/mnt exec "$@"'
)  # fmt: skip
_NESTED = """
import sys
from proofloop.core.errors import IsolationError
from proofloop.core.verdict import Tier
from proofloop.sandbox import open_sandbox
try:
    open_sandbox(Tier(sys.argv[1])).close()
    print("yes")
except IsolationError as e:
    print(e)
"""
_IN_A_FULL_SPACE = """
import os, sys
from faulty import ANSWERS, attempts, check
from proofloop.core.verdict import Tier
from proofloop.runs.verification import judge

try:
    with open("/mnt/more", "wb") as f:
        f.write(bytes(4096))
    sys.exit("there is still space")
except OSError:
    pass
names = [name for name in attempts(30) if not ANSWERS[name].takes_time]
verdicts = list(judge([ANSWERS[name].attempt for name in names], tier=Tier(sys.argv[1])))
assert not sum(check(name, verdict) for name, verdict in zip(names, verdicts, strict=True))
"""


def test_a_key_that_is_ours_to_mend_is_unscored(verifier: ProgramVerifier) -> None:
    verdict = verifier.verify(TASK, ANSWERS["broken key"].key, ANSWERS["right"].source)
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.INVALID_KEY
