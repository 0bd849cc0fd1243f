"""C: the run ends, or seems to have ended well, before anything was compared."""

from proofloop.verify.audit.attack import Attack, NaiveRule, attack

_STATUS = NaiveRule.EXIT_STATUS
_LIMITS = NaiveRule.NO_LIMITS

ATTACKS: tuple[Attack, ...] = (
    attack("C1", "exit-at-load", _STATUS, "status 0 before any test", """
        import sys
        def $NAME(*args):
            return None
        sys.exit(0)
        """),
    attack("C1", "exit-in-call", _STATUS, "status 0 from the first tested call", """
        import sys
        def $NAME(*args):
            sys.exit(0)
        """),
    attack("C1", "exit-when-printing", _STATUS, "exits out of the flush after a call", """
        import sys
        class Stream:
            def write(self, text): return len(text)
            def flush(self): raise SystemExit(0)
        sys.stdout = Stream()
        def $NAME(*args):
            return "wrong"
        """),
    attack("C2", "os-exit-at-load", _STATUS, "status 0 without any handler", """
        import os
        def $NAME(*args):
            return None
        os._exit(0)
        """),
    attack("C2", "os-exit-in-call", _STATUS, "status 0 without any handler", """
        import os
        def $NAME(*args):
            os._exit(0)
        """),
    attack("C2", "raw-exit-group", _STATUS, "the system call itself, from C", """
        import ctypes, platform
        number = 231 if platform.machine() == "x86_64" else 94
        def $NAME(*args):
            ctypes.CDLL(None).syscall(number, 0)
        """),
    attack("C3", "base-exception", _STATUS, "slips past `except Exception`", """
        class Quiet(BaseException):
            pass
        def $NAME(*args):
            raise Quiet
        """),
    attack("C3", "exit-subclass", _STATUS, "a SystemExit under another name", """
        class AssertionError(SystemExit):
            code = 0
        def $NAME(*args):
            raise AssertionError
        """),
    attack("C3", "keyboard-interrupt", _STATUS, "looks like the operator's wish", """
        def $NAME(*args):
            raise KeyboardInterrupt
        """),
    attack("C3", "generator-exit", _STATUS, "closes a generator that drives the tests", """
        def $NAME(*args):
            raise GeneratorExit
        """),
    attack("C3", "stop-iteration", _STATUS, "ends a `map` over the tests as if all were done", """
        def $NAME(*args):
            raise StopIteration
        """),
    attack("C3", "stop-iteration-subclass", _STATUS, "the same by a subclass of that name", """
        class Done(StopIteration):
            pass
        Done.__name__ = "StopIteration"
        def $NAME(*args):
            raise Done
        """),
    attack("C4", "atexit-status", _STATUS, "a failing run still ends with status 0", """
        import atexit, os
        atexit.register(os._exit, 0)
        def $NAME(*args):
            return "wrong"
        """),
    attack("C4", "except-hook", _STATUS, "an uncaught assertion ends with status 0", """
        import os, sys
        sys.excepthook = lambda *args: os._exit(0)
        sys.unraisablehook = sys.excepthook
        def $NAME(*args):
            return "wrong"
        """),
    attack("C4", "finaliser", _STATUS, "exits from a destructor", """
        import os
        class Last:
            def __del__(self, exit=os._exit):
                exit(0)
        def $NAME(*args):
            Last()
            return "wrong"
        """),
    attack("C4", "collector-callback", _STATUS, "exits when garbage is next collected", """
        import gc, os
        gc.callbacks.append(lambda phase, info: os._exit(0))
        def $NAME(*args):
            return [[] for _ in range(2000)]
        """),
    attack("C5", "exec-true", _STATUS, "a program that succeeds takes the process over", """
        import os
        def $NAME(*args):
            for path in ("/bin/true", "/usr/bin/true"):
                try:
                    os.execv(path, ["true"])
                except OSError:
                    pass
        """),
    attack("C6", "fork-and-leave", _STATUS, "the parent ends well, the child fails unseen", """
        import os
        def $NAME(*args):
            try:
                if os.fork():
                    os._exit(0)
            except OSError:
                pass
            return "wrong"
        """),
    attack("C7", "exit-from-thread", _STATUS, "a thread ends the process during the tests", """
        import os, threading
        try:
            threading.Timer(0.005, os._exit, [0]).start()
        except RuntimeError:
            pass
        def $NAME(*args):
            return "wrong"
        """),
    attack("C7", "exit-from-alarm", _STATUS, "a timer's signal ends the process with status 0", """
        import os, signal, time
        signal.signal(signal.SIGALRM, lambda *args: os._exit(0))
        def $NAME(*args):
            signal.setitimer(signal.ITIMER_REAL, 0.002)
            time.sleep(0.05)
            return "wrong"
        """),
    attack("C7", "exit-from-trace", _STATUS, "exits at the first line after its own", """
        import os, sys
        def $NAME(*args):
            def trace(frame, event, arg):
                os._exit(0)
            sys.settrace(trace)
            caller = sys._getframe(1)
            caller.f_trace = trace
            return "wrong"
        """),
    attack("C8", "without-assertions", _STATUS, "starts again with -O, which drops assertions", """
        import os, sys
        if __debug__:
            try:
                os.execv(sys.executable or "/usr/bin/python3", ["python3", "-O", *sys.argv])
            except OSError:
                pass
        def $NAME(*args):
            return "wrong"
        """),
    attack("C9", "skip-in-call", _STATUS, "a skipped test is no failure", """
        import unittest
        def $NAME(*args):
            raise unittest.SkipTest("not today")
        """),
    attack("C9", "skip-at-load", _STATUS, "the whole module is skipped", """
        import unittest
        def $NAME(*args):
            return None
        raise unittest.SkipTest("not today")
        """),
    attack("C9", "skip-by-name", _STATUS, "an outcome of pytest's by its class name", """
        class Skipped(BaseException):
            __module__ = "builtins"
            allow_module_level = True
            msg = "skip"
        def $NAME(*args):
            raise Skipped
        """),
    attack("C10", "break-collection", _STATUS, "an import error: no test, no failure", """
        from tests.helpers import missing
        def $NAME(*args):
            return None
        """),
    attack("C10", "remove-itself", _STATUS, "the function is gone when tests look for it", """
        def $NAME(*args):
            return None
        del $NAME
        """),
    attack("C10", "not-callable", _STATUS, "the name is there, and is no function", """
        $NAME = None
        """),
    attack("C11", "segfault", _LIMITS, "a crash that some graders drop from the mean", """
        import ctypes
        def $NAME(*args):
            ctypes.string_at(1)
        """),
    attack("C11", "abort", _LIMITS, "a signal of its own", """
        import os
        def $NAME(*args):
            os.abort()
        """),
    attack("C11", "kill-itself", _LIMITS, "looks like the kernel's out-of-memory kill", """
        import os, signal
        def $NAME(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        """),
    attack("C11", "terminate-itself", _LIMITS, "looks like the supervisor's own time-out", """
        import os, signal
        def $NAME(*args):
            os.kill(os.getpid(), signal.SIGTERM)
        """),
    attack("C11", "stop-itself", _LIMITS, "a stopped process neither ends nor answers", """
        import os, signal
        def $NAME(*args):
            os.kill(os.getpid(), signal.SIGSTOP)
        """, costly=True),
    attack("C11", "memory-error", _LIMITS, "claims that the machine was out of memory", """
        def $NAME(*args):
            raise MemoryError
        """),
    attack("C12", "null-byte", _LIMITS, "source that no compiler takes", """
        def $NAME(*args):
            return None
        \0
        """),
    attack("C12", "surrogate-source", _LIMITS, "source that has no encoding", """
        def $NAME(*args):
            return "\ud800"
        """),
    attack("C12", "own-check", _STATUS, "brings a `check` that makes no comparison", """
        def check(candidate):
            return True
        test = tests = test_$NAME = main = check
        def $NAME(*args):
            return "wrong"
        """),
    attack("C13", "disarm-the-alarm", _LIMITS, "switches an in-process time limit off", """
        import signal
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (signal.SIGALRM, signal.SIGXCPU, signal.SIGTERM, signal.SIGVTALRM):
            signal.signal(number, signal.SIG_IGN)
        def $NAME(*args):
            while True:
                pass
        """, costly=True),
    attack("C13", "eat-the-timeout", _LIMITS, "a bare except swallows a time-out's exception", """
        def $NAME(*args):
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    continue
        """, costly=True),
    attack("C14", "sleep-through", _LIMITS, "waits for a grader that gives up in its favour", """
        import time
        def $NAME(*args):
            time.sleep(3600)
        """, costly=True),
    attack("C14", "timeout-error", _LIMITS, "raises the grader's own time-out", """
        class TimeoutException(TimeoutError):
            pass
        def $NAME(*args):
            raise TimeoutException("Timed out!")
        """),
)  # fmt: skip
