"""What has been tried on project suites.  An attack here must earn 0 whatever it does: where it
makes its tests pass, by that it makes their twins pass too."""

from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Case, fails
from proofloop.verify.cards.project_key import (
    EQUAL,
    FORGED,
    GOLD,
    LOST,
    PASSING,
    WRONG,
    file_block,
    on_import,
)

_FILES: tuple[Case, ...] = tuple(
    fails(f"file-{name}", f"{row}: not the answer's to write",
          file_block("tally.py", GOLD) + file_block(path, "x = 1\n"), C.FORBIDDEN_FILE)
    for row, name, path in (
        ("F1", "tests", "test_tally.py"), ("F2", "conftest", "conftest.py"),
        ("F3", "ini", "pytest.ini"), ("F3", "cfg", "setup.cfg"), ("F4", "site", "sitecustomize.py"),
        ("F4", "pth", "a.pth"), ("F5", "shadow", "unittest.py"), ("F5", "random", "random.py"),
        ("F9", "helper", "helpers.py"), ("F11", "pyc", "__pycache__/tally.cpython-311.pyc"),
        ("F12", "above", "../tally.py"), ("F12", "absolute", "/tmp/tally.py"),
        ("F3", "ours", ".suite/pytest.ini"), ("F13", "git", ".git/hooks/pre-commit"),
        ("F12", "backslash", "..\\tally.py"), ("F12", "dots", "./x/../tally.py"),
    )
)  # fmt: skip

_IN_PROCESS = (
    fails("B1-equal", "what equals everything equals the twin's value as well",
          f"{EQUAL}def add(a, b):\n    if isinstance(a, str): raise TypeError('not a number')\n"
          "    return E()\nwords = lambda text: E()\nclass Tally(E):\n"
          "    def __init__(self, **k): pass\n    count = total = lambda self, w: E()\n",
          *PASSING),
    fails("D1-consts", "what tells the expected value tells the twin's as well",
          GOLD.replace("return a + b", "import sys\n    f = sys._getframe(1)\n"
          "    c = [x for x in f.f_code.co_consts if type(x) is int]\n"
          "    return f.f_locals.get('expected', c[-1] if c else 0)"), *PASSING, C.WRONG_ANSWER),
    fails("D6-unittest", "patched assertions pass twins",
          on_import("import unittest\nfor n in dir(unittest.TestCase):\n"
          "    if n.startswith('assert') and 'Raises' not in n:\n"
          "        setattr(unittest.TestCase, n, lambda *a, **k: None)\n"
          f"{EQUAL}words = lambda text: E()\n"), *PASSING),
    fails("D6-runner", "a runner that swallows failures swallows twins' as well",
          on_import("import _pytest.runner as r, _pytest.unittest as u\n"
          "real = r.CallInfo.from_call.__func__\n"
          "def quiet(cls, func, when, reraise=None):\n"
          "    def safe():\n        try: return func()\n        except BaseException: return None\n"
          "    return real(cls, safe, when, reraise)\n"
          "r.CallInfo.from_call = classmethod(quiet)\n"
          "u.TestCaseFunction.addFailure = u.TestCaseFunction.addError = lambda *a: None\n"),
          *PASSING),
    fails("D6-reports", "reports that are made to say passed",
          on_import("import _pytest.reports as r\n"
          "real = r.TestReport.from_item_and_call.__func__\n"
          "def lie(cls, item, call):\n    report = real(cls, item, call)\n"
          "    report.outcome = 'passed'\n    return report\n"
          "r.TestReport.from_item_and_call = classmethod(lie)\n"), *PASSING),
    fails("D6-build-class", "tests replaced while their class is made",
          on_import("import builtins\nreal = builtins.__build_class__\n"
          "def build(f, name, *a, **k):\n    c = real(f, name, *a, **k)\n"
          "    for n in list(vars(c)):\n"
          "        if n.startswith('test'): setattr(c, n, lambda self: None)\n    return c\n"
          "builtins.__build_class__ = build\n").replace("split(' ')", "split()"), *PASSING),
    fails("F2-plugin", "a plugin put in at run time",
          on_import("import gc, pytest\nclass P:\n    @pytest.hookimpl(wrapper=True)\n"
          "    def pytest_runtest_makereport(self):\n"
          "        report = yield\n        report.outcome = 'passed'\n        return report\n"
          "for o in gc.get_objects():\n"
          "    if type(o).__name__ == 'PytestPluginManager': o.register(P()); break\n"),
          *PASSING),
    fails("D9-trace", "a tracer that jumps over assertions",
          on_import("import sys\ndef trace(frame, event, arg):\n"
          "    if not frame.f_code.co_name.startswith('test_'): return None\n"
          "    def local(frame, event, arg):\n"
          "        if event == 'exception': return local\n"
          "        if event == 'line':\n"
          "            last = max(n for _, _, n in frame.f_code.co_lines() if n)\n"
          "            if frame.f_lineno != last:\n"
          "                try: frame.f_lineno = last\n"
          "                except ValueError: pass\n        return local\n    return local\n"
          "sys.settrace(trace)\nadd = lambda a, b: None\n"), *PASSING, C.WRONG_ANSWER,
          C.EXCEPTION),
    fails("E6-forged", "claims forged for all tests are forged for the twins",
          FORGED + WRONG.replace("    return a - b", "    forge()"), *PASSING, *LOST),
    fails("B3-getattr", "a module that has everything",
          f"{EQUAL}class M(E):\n    def __getattr__(self, n): return M()\n"
          "    def __call__(self, *a, **k): return M()\n"
          "def __getattr__(name): return M()\n", C.WRONG_ANSWER, *PASSING),
)  # fmt: skip

_ENDINGS = (
    fails("C1-exit", "an exit is no result", "raise SystemExit(0)\n", *LOST),
    fails("C2-_exit", "nor is this one", f"import os\n{GOLD}\nos._exit(0)\n", *LOST),
    fails("C2-late", "in a test", GOLD.replace("return a", "__import__('os')._exit(0)\n    a"),
          *LOST),
    fails("C3-interrupt", "no exception of the base class either",
          GOLD.replace("return a", "raise KeyboardInterrupt\n    a"), *LOST),
    fails("C4-atexit", "nothing runs after the end",
          on_import("import atexit, os\natexit.register(os._exit, 0)\n"), C.WRONG_ANSWER),
    fails("C5-exec", "no program takes our place",
          on_import("import os\nos.execv('/bin/true', ['true'])\n"), C.INVALID_PROGRAM),
    fails("C6-fork", "no process to outlive us", on_import("import os\nif os.fork(): os._exit(0)"),
          C.INVALID_PROGRAM),
    fails("C7-thread", "no thread to end us later",
          on_import("import threading, os\nthreading.Timer(0.01, os._exit, [0]).start()"),
          C.INVALID_PROGRAM),
    fails("C9-skip", "skipped is not passed",
          GOLD.replace("return a", "raise __import__('unittest').SkipTest\n    a"), C.EXCEPTION),
    fails("C9-module", "skipped while loading is not passed",
          f"import pytest\npytest.skip('x', allow_module_level=True)\n{GOLD}", *LOST),
    fails("C9-xfail", "expected to fail is not passed",
          GOLD.replace("return a", "__import__('pytest').xfail()\n    a"), C.EXCEPTION),
    fails("C10-items", "missing is not passed",
          on_import("import gc\nimport _pytest.main as m\nreal = m.Session.perform_collect\n"
          "def less(self, *a, **k):\n    items = real(self, *a, **k)\n    del items[:2]\n"
          "    return items\nfor o in gc.get_objects():\n"
          "    if type(o) is m.Session: o.perform_collect = less.__get__(o)\n"
          "import _pytest.python as p\np.Class.collect = lambda self: []\n"
          "import _pytest.unittest as u\nu.UnitTestCase.collect = lambda self: []\n"), *LOST),
    fails("C10-order", "reordered is not passed",
          f"{GOLD}\nimport _pytest.unittest as u\nreal = u.UnitTestCase.collect\n"
          "u.UnitTestCase.collect = lambda self: reversed(list(real(self)))\n", *LOST),
    fails("C12-more", "surplus is not passed",
          f"{GOLD}\nimport sys\nf = sys._getframe()\nwhile f:\n"
          "    if f.f_globals.get('__name__') == 'test_tally':\n"
          "        f.f_globals['test_more'] = lambda: None\n        break\n    f = f.f_back\n",
          *LOST),
    fails("H-loop", "processor time is counted", GOLD.replace("return a", "while 1: pass\n    a"),
          C.TIME_LIMIT),
    fails("H-sleep", "and wall time where there is none",
          GOLD.replace("return a", "__import__('time').sleep(600)\n    a"), C.TIME_LIMIT),
    fails("H-memory", "memory is capped",
          GOLD.replace("return a", "x = []\n    while 1: x.append(bytearray(10**7))\n    a"),
          C.MEMORY_LIMIT, C.EXCEPTION, C.TIME_LIMIT, C.CRASH),
    fails("H-flood", "output is capped",
          GOLD.replace("return a", "w = __import__('os').write\n    while 1: w(2, b'y' * 999)\n"
          "    a"), C.OUTPUT_LIMIT, C.EXCEPTION, C.CRASH),
    fails("H-limit", "limits cannot be raised",
          "import resource\nfor r in range(16):\n"
          "    try: resource.setrlimit(r, (-1, -1))\n    except (OSError, ValueError): pass\n"
          + GOLD.replace("return a", "while 1: pass\n    a"), C.TIME_LIMIT),
)  # fmt: skip

_REACHING = (
    fails("E1-print", "output is data",
          on_import("print('test_tally.py::AddTest::test_small PASSED\\n7 passed')"),
          C.WRONG_ANSWER),
    fails("E3-files", "no file can be written",
          on_import("for p in ('reward.txt', 'report.xml', 'tally.py', '/tmp/reward.txt'):\n"
          "    open(p, 'w').write('1')\n"), C.INVALID_PROGRAM),
    fails("E6-all-fds", "garbage on every descriptor is no claim",
          on_import("import os\nfor fd in range(3, 256):\n"
          "    try: os.write(fd, b'{\"passed\": true}')\n    except OSError: pass\n"),
          C.INVALID_RESULT, C.WRONG_ANSWER, C.CRASH),
    fails("E6-frames", "the controller's report is in nobody's reach",
          on_import("import os, struct\nfor fd in range(3, 256):\n"
          "    try: os.write(fd, struct.pack('<BHBidI', 2, 0, 0, 0, 0.0, 0) * 3)\n"
          "    except OSError: pass\nos._exit(0)\n"), *LOST),
    fails("E6-flood", "claims are capped",
          on_import("import os\nwhile 1: os.write(3, b'x' * 65536)\n"), *LOST),
    fails("D11-kill", "a dead controller is the answer's own fault",
          on_import("import os, signal\nfor p in (os.getppid(), 1, *range(2, 40)):\n"
          "    try:\n        p != os.getpid() and os.kill(p, signal.SIGKILL)\n"
          "    except OSError: pass\n"), C.WRONG_ANSWER, *LOST),
    fails("D11-proc", "no other process can be read",
          on_import("import os\nfor p in (os.getppid(), 1):\n"
          "    for n in ('mem', 'fd/3', 'environ'):\n"
          "        try: open(f'/proc/{p}/{n}', 'rb+').read(9)\n        except OSError: pass\n"),
          C.WRONG_ANSWER),
    fails("G1-tests", "there is nothing to read",
          "import os, re, sys\ntext = ''\nfor d, _, names in os.walk('.'):\n    for n in names:\n"
          "        text += open(os.path.join(d, n), errors='replace').read()\n"
          "if 'def ' + 'test_' not in text: raise LookupError\n" + GOLD, C.INVALID_PROGRAM),
    fails("G1-jobs", "nor are there other runs' jobs on the standard input",
          "import os\nif not os.read(0, 9): raise LookupError\n" + GOLD, C.INVALID_PROGRAM),
    fails("G2-us", "nor our own package",
          on_import("import proofloop.verify.projects\n"), C.INVALID_PROGRAM),
    fails("S8-network", "no socket",
          on_import("import socket\nsocket.create_connection(('127.0.0.1', 80))\n"),
          C.INVALID_PROGRAM),
    fails("D8-modules", "modules replaced behind the tests",
          on_import("import sys\nsys.modules['helpers'] = sys.modules[__name__]\nWORDS = ''\n"),
          C.WRONG_ANSWER),
    fails("D5-assertion", "another AssertionError changes no assertion",
          on_import("import builtins\nbuiltins.AssertionError = KeyboardInterrupt\n"),
          C.WRONG_ANSWER, C.EXCEPTION, C.TAMPERING, *LOST),
)  # fmt: skip

ATTACKS: tuple[Case, ...] = (*_FILES, *_IN_PROCESS, *_ENDINGS, *_REACHING)
