"""Cards of call-style tests and of tests that are code: `f(x)` returns `[x, x * x]`, for hidden x.

Both kinds are held to the same answers; what separates them is that a data set's own assertions
decide how strict a comparison is.
"""

from proofloop.core import value
from proofloop.core.task import CallTests, CheckProgram, Returns, TestCall
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, fails, passes

INPUTS = (0, 1, 7, -3, 250)


def call_tests() -> CallTests:
    return CallTests(
        calls=tuple(
            TestCall(
                function="f",
                args=value.encode((x,)),
                wanted=Returns(value=value.encode([x, x * x])),
            )
            for x in INPUTS
        )
    )


def _check_program() -> CheckProgram:
    lines = "\n".join(f"    assert candidate({x}) == {[x, x * x]}" for x in INPUTS)
    return CheckProgram(setup="", check=f"def check(candidate):\n{lines}\n", entry_point="f")


_GOOD = "def f(x):\n    return [x, x * x]\n"

_ACCEPTED = (
    passes("plain", "the oracle", _GOOD),
    passes("fenced", "the last complete Python block is the program",
          f"Thus:\n```python\ndef f(x): return 0\n```\nNo:\n```python\n{_GOOD}```\n"),
    passes("imports", "the standard library can be imported",
          f"import decimal, json, hashlib, statistics, datetime\n{_GOOD}"),
    passes("prints", "output is data", f"print('FAILED')\n{_GOOD}"),
    passes("main-guard", "a demonstration under `__main__` is no part of the program",
          f"{_GOOD}\nif __name__ == '__main__':\n    raise SystemExit(1)\n"),
    passes("dataclass", "ordinary modern Python works",
          f"from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int'\n{_GOOD}"),
    passes("mutated", "every call has its own copy of its arguments",
          "def f(x):\n    r = [x]\n    r.append(x * x)\n    return r\n"),
)  # fmt: skip

_REJECTED = (
    fails("empty", "nothing to run", "  \n", C.NO_ANSWER),
    fails("undefined", "the function is not there", "def g(x):\n    return x\n", C.NO_ANSWER),
    fails("syntax", "it does not compile", "def f(x:\n", C.INVALID_PROGRAM),
    fails("wrong", "one value is off", "def f(x):\n    return [x, abs(x) * 2]\n", C.WRONG_ANSWER),
    fails("raises", "a tested call raised", "def f(x):\n    return [x, 1 // x]\n", C.EXCEPTION),
    fails("none", "no value at all", "def f(x):\n    pass\n", C.WRONG_ANSWER),
)  # fmt: skip

_LOOSELY_TYPED = (
    fails("tuple", "a tuple is no list", "def f(x):\n    return (x, x * x)\n", C.WRONG_ANSWER),
    fails("float", "1.0 is not 1", "def f(x):\n    return [x, float(x * x)]\n", C.WRONG_ANSWER),
    fails("bool", "True is not 1",
          "def f(x):\n    return [x, True if x * x == 1 else x * x]\n", C.WRONG_ANSWER),
)  # fmt: skip

_EQUAL = (
    "class E:\n    def __eq__(s, o): return True\n    def __ne__(s, o): return False\n"
    "    def __hash__(s): return 0\n    def __bool__(s): return True\n"
    "    def __len__(s): return 2\n    def __iter__(s): return iter((s, s))\n"
)
_SPIN = "    while True:\n        pass\n"

_ADVERSARIAL = (
    fails("always-equal", "an object with code is no value",
          f"{_EQUAL}def f(x): return E()\n", C.INVALID_RESULT),
    fails("always-equal-inside", "nor is one within a list",
          f"{_EQUAL}def f(x): return [E(), E()]\n", C.INVALID_RESULT),
    fails("int-subclass", "subclasses are refused",
          "class I(int):\n    def __eq__(s, o): return True\ndef f(x): return [I(x), I(x)]\n",
          C.INVALID_RESULT),
    fails("list-subclass", "subclasses are refused",
          "class L(list):\n    def __eq__(s, o): return True\ndef f(x): return L()\n",
          C.INVALID_RESULT),
    fails("str-subclass", "subclasses are refused",
          "class S(str):\n    __eq__ = lambda s, o: True\ndef f(x): return S()\n",
          C.INVALID_RESULT),
    fails("class-lie", "type() does not ask `__class__`",
          "class O:\n    __class__ = list\n    __eq__ = lambda s, o: True\ndef f(x): return O()\n",
          C.INVALID_RESULT),
    fails("generator", "a generator is no value",
          "def f(x):\n    yield x\n    yield x * x\n", C.INVALID_RESULT),
    fails("cycle", "a cyclic list has no encoding",
          "def f(x):\n    r = []\n    r.append(r)\n    return r\n", C.INVALID_RESULT),
    fails("deep", "a list nested a hundred thousand deep",
          "def f(x):\n    r = []\n    for _ in range(10 ** 5):\n        r = [r]\n    return r\n",
          C.INVALID_RESULT),
    fails("wide", "a result over the size limit",
          "def f(x): return [0] * 10 ** 6\n", C.INVALID_RESULT),
    fails("huge-int", "an int that takes all there is",
          "def f(x): return 10 ** 10 ** 7\n", C.TIME_LIMIT, C.INVALID_RESULT, C.MEMORY_LIMIT),
    fails("exit-load", "status 0 is no verdict", "import sys\nsys.exit(0)\n", C.CRASH),
    fails("exit-call", "status 0 is no verdict",
          "import sys\ndef f(x): sys.exit(0)\n", C.CRASH),
    fails("os-exit", "status 0 is no verdict", "import os\ndef f(x): os._exit(0)\n", C.CRASH),
    fails("raise-exit", "SystemExit is no pass", "def f(x): raise SystemExit(0)\n", C.CRASH),
    fails("atexit", "nothing runs after the end",
          "import atexit, os\natexit.register(os._exit, 0)\ndef f(x): return x\n", C.WRONG_ANSWER),
    fails("execve", "exec is denied",
          "import os\ndef f(x): os.execv('/bin/true', ['true'])\n", C.EXCEPTION),
    fails("fork", "fork is denied",
          "import os\nif os.fork(): os._exit(0)\n", C.INVALID_PROGRAM),
    fails("fork-bomb", "fork is denied",
          "import os\ndef f(x):\n    while True:\n        os.fork()\n", C.EXCEPTION),
    fails("thread-exit", "threads are denied",
          "import threading, os\nthreading.Timer(0.01, os._exit, [0]).start()\n",
          C.INVALID_PROGRAM),
    fails("frames", "no frame holds an expected value",
          "import sys\ndef f(x):\n    g = sys._getframe()\n    while g:\n"
          "        for v in list(g.f_locals.values()):\n"
          "            if type(v) is list and len(v) == 2 and v[0] == x: return v\n"
          "        g = g.f_back\n", C.WRONG_ANSWER),
    fails("gc", "no object holds an expected value",
          "import gc\ndef f(x):\n    for o in gc.get_objects():\n"
          "        n = type(o).__name__\n"
          "        if n in ('AnswerKey', 'CallTests', 'TestCall', 'CheckProgram'):\n"
          "            return o.expected\n"
          "        if type(o) is list and len(o) == 2 and o[0] == x and type(o[1]) is int:\n"
          "            return list(o)\n", C.WRONG_ANSWER),
    fails("parent-memory", "no other process can be read",
          "import os\ndef f(x):\n    for p in [os.getppid(), 1, *range(2, 400)]:\n"
          "        for n in ('mem', 'environ', 'cmdline', 'maps'):\n"
          "            try: return open(f'/proc/{p}/{n}', 'rb').read(100)\n"
          "            except OSError: pass\n", C.WRONG_ANSWER),
    fails("import-us", "our own package is not there",
          "import proofloop.verify\ndef f(x): return [x, x * x]\n", C.INVALID_PROGRAM),
    fails("passwd", "no file outside the standard library",
          "def f(x): return open('/etc/passwd').read()\n", C.EXCEPTION),
    fails("write", "no file can be written",
          "def f(x): return open('/tmp/reward.txt', 'w').write('1')\n", C.EXCEPTION),
    fails("connect", "no socket",
          "import socket\ndef f(x): return socket.create_connection(('127.0.0.1', 80))\n",
          C.EXCEPTION),
    fails("print-passed", "output is data",
          "print('PASSED', flush=True)\nprint('{\"reward\": 1}')\ndef f(x): return None\n",
          C.WRONG_ANSWER),
    fails("forge-frames", "forged frames are claims, and these claim the wrong thing",
          "import os, struct\nfor fd in range(64):\n    try:\n        for i in range(9):\n"
          "            os.write(fd, struct.pack('<IBI', 1, 20, i) + b'T')\n"
          "    except OSError: pass\ndef f(x): return x\n", C.CRASH),
    fails("forge-loaded", "in the right order, still only claims",
          "import os, struct\nos.write(3, struct.pack('<IBI', 0, 18, 0))\n"
          "for i in range(9): os.write(3, struct.pack('<IBI', 1, 20, i) + b'T')\n",
          C.WRONG_ANSWER),
    fails("forge-verdict", "there is no verdict in the protocol",
          "import os, struct\nos.write(3, struct.pack('<IBI', 0, 18, 0))\n"
          "os.write(3, struct.pack('<IBI', 0, 25, 0))\n", C.CRASH),
    fails("forge-isolation", "nor a way to be unscored by claiming that we failed",
          "import os, struct\nos.write(3, struct.pack('<IBI', 0, 17, 0))\n", C.CRASH),
    fails("forge-length", "a length of 4 GiB is refused before it is allocated",
          "import os, struct\nos.write(3, struct.pack('<IBI', 2 ** 32 - 1, 20, 0))\n", C.CRASH),
    fails("garbage-value", "bytes that are no value",
          "import os, struct\nos.write(3, struct.pack('<IBI', 0, 18, 0))\n"
          "for i in range(9):\n"
          "    os.write(3, struct.pack('<IBI', 5, 20, i) + b'l\\xff\\xff\\xff\\xff')\n",
          C.INVALID_RESULT),
    fails("close-all", "a closed channel answers nothing",
          "import os\nos.closerange(0, 64)\ndef f(x): return [x, x * x]\n", C.CRASH),
    fails("flood", "output is capped", "def f(x):\n    while True:\n        print('y' * 4096)\n",
          C.OUTPUT_LIMIT),
    fails("flood-fd", "and counted on both descriptors",
          "import os\ndef f(x):\n    while True:\n        os.write(2, b'y' * 65536)\n",
          C.OUTPUT_LIMIT),
    fails("memory", "memory is capped",
          "def f(x):\n    r = []\n    while True:\n        r.append(bytearray(10 ** 8))\n",
          C.MEMORY_LIMIT, C.TIME_LIMIT),
    fails("loop", "processor time is the kernel's to count", f"def f(x):\n{_SPIN}", C.TIME_LIMIT),
    fails("loop-load", "while loading, too", "while True:\n    pass\n", C.TIME_LIMIT),
    fails("sleep", "wall time is the parent's",
          "import time\ndef f(x):\n    time.sleep(60)\n", C.TIME_LIMIT),
    fails("ignore-signals", "SIGKILL cannot be ignored",
          "import signal\nfor s in range(1, 65):\n"
          "    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
          f"def f(x):\n{_SPIN}", C.TIME_LIMIT),
    fails("catch-all", "no `except` stands in the way of a limit",
          "def f(x):\n    while True:\n        try:\n            while True: pass\n"
          "        except BaseException: pass\n", C.TIME_LIMIT),
    fails("recursion", "an exception like any other", "def f(x): return f(x)\n", C.EXCEPTION),
    fails("stack-overflow", "a crash of the interpreter",
          "import ctypes\ndef f(x): ctypes.string_at(0)\n", C.CRASH),
    fails("patched-builtins", "the comparison does not use them",
          "import builtins\nbuiltins.len = builtins.isinstance = builtins.all = "
          "lambda *a, **k: True\ndef f(x): return None\n",
          C.TIME_LIMIT, C.CRASH, C.INVALID_RESULT, C.EXCEPTION),
    fails("patched-encoder", "a subverted encoder makes claims",
          "import gc\nfor o in gc.get_objects():\n"
          "    if type(o) is dict and 'strictly_equal' in o and 'encode' in o:\n"
          "        o['encode'] = lambda v, **k: b'N'\n"
          "        o['strictly_equal'] = lambda a, b: True\ndef f(x): return 1\n", C.WRONG_ANSWER),
    fails("sys-modules", "nothing of ours is imported there again",
          "import sys\nfor n in list(sys.modules): sys.modules[n] = None\n"
          "def f(x): return None\n", C.WRONG_ANSWER, C.EXCEPTION, C.CRASH),
    fails("settrace", "there is no judging frame to trace",
          "import sys\ndef t(frame, event, arg):\n    return t\nsys.settrace(t)\n"
          "sys.setprofile(t)\ndef f(x): return 1\n", C.WRONG_ANSWER),
    fails("ctypes-write", "it may overwrite its own memory only",
          "import ctypes\nctypes.memset(id(0) + 16, 1, 1)\ndef f(x): return [0, 0]\n",
          C.WRONG_ANSWER, C.CRASH, C.EXCEPTION, C.INVALID_PROGRAM),
    fails("counter", "a table of earlier answers is no help with hidden inputs",
          "n = -1\ndef f(x):\n    global n\n    n += 1\n"
          "    return [[0, 0], [2, 4], [3, 9]][n % 3]\n",
          C.WRONG_ANSWER),
    fails("kill-all", "no signal to anyone else",
          "import os, signal\ndef f(x):\n    for p in [-1, 0, os.getppid() or -1]:\n"
          "        try: os.kill(p, signal.SIGKILL)\n        except OSError: pass\n"
          "    return None\n", C.WRONG_ANSWER),
    fails("ptrace", "no tracing, no foreign limits",
          "import ctypes, os\nl = ctypes.CDLL(None, use_errno=True)\ndef f(x):\n"
          "    return [l.ptrace(16, os.getppid() or 1, 0, 0), l.unshare(0x10000000)]\n",
          C.WRONG_ANSWER),
)  # fmt: skip

CALLS = Card(
    name="calls",
    tests=call_tests(),
    gold=_GOOD,
    accepted=_ACCEPTED,
    rejected=_REJECTED + _LOOSELY_TYPED,
    adversarial=_ADVERSARIAL,
)
CHECK = Card(
    name="check",
    tests=_check_program(),
    gold=_GOOD,
    accepted=_ACCEPTED,
    rejected=_REJECTED,
    adversarial=_ADVERSARIAL,
)
CARDS = (CALLS, CHECK)
