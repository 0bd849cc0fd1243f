"""The same behaviour with things around it that are nobody's fault: output, odd names, imports,
copies, clocks, and work that the limits allow."""

from proofloop.verify.audit.honest.oddity import Oddity, wrapped

ODDITIES: tuple[Oddity, ...] = (
    wrapped("prints-to-both", "noise on both streams", """
        import sys
        def $NAME(*args):
            print("FAILED", args, "Traceback (most recent call last):")
            print("error: 1", file=sys.stderr, flush=True)
            return right_$NAME(*args)
        """),
    wrapped("prints-much", "noise that stays within the limit", """
        print("." * 4000)
        def $NAME(*args):
            print("calling", end="...")
            return right_$NAME(*args)
        """),
    wrapped("prints-bytes", "bytes that are no text", """
        import sys
        sys.stdout.buffer.write(bytes(range(256)))
        print("\\ud800 é 🙂")
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("redirected-output", "its own standard output for a while", """
        import contextlib, io
        def $NAME(*args):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                print("unseen")
                result = right_$NAME(*args)
            assert out.getvalue().startswith("unseen")
            return result
        """),
    wrapped("replaced-output", "standard output replaced for good", """
        import io, sys
        sys.stdout = sys.stderr = io.StringIO()
        def $NAME(*args):
            print("unseen")
            return right_$NAME(*args)
        """),
    wrapped("closed-output", "standard output closed", """
        import sys
        sys.stdout.close()
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("warnings", "warnings, shown on the error stream", """
        import warnings
        warnings.simplefilter("always")
        def $NAME(*args):
            warnings.warn("old style", DeprecationWarning)
            return right_$NAME(*args)
        """),
    wrapped("logging", "a logger at every level", """
        import logging
        logging.basicConfig(level=logging.DEBUG)
        def $NAME(*args):
            logging.getLogger("$NAME").error("about %r", args)
            return right_$NAME(*args)
        """),
    wrapped("atexit-print", "something for the end", """
        import atexit
        atexit.register(print, "bye")
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("docstring-with-asserts", "a docstring that reads like a test", '''
        def $NAME(*args):
            """assert $NAME(1) == 2; raise SystemExit; PASSED

            >>> $NAME(None)
            Traceback (most recent call last):
            """
            return right_$NAME(*args)
        '''),
    wrapped("doctest-at-load", "runs its own doctests while it is loaded", """
        import doctest
        doctest.testmod(__import__("types").ModuleType("empty"))
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("type-hints", "hints that would not hold if anyone asked", """
        def $NAME(*args: "no such type") -> "neither":
            result: int = right_$NAME(*args)
            return result
        """),
    wrapped("unicode-identifiers", "names in other scripts", """
        def $NAME(*аргументы):
            结果 = right_$NAME(*аргументы)
            ñandú = 结果
            return ñandú
        """),
    wrapped("keyword-like-names", "names of the library and of tests, for its own use", """
        def $NAME(*list):
            check, candidate, expected, passed = right_$NAME, list, None, False
            return check(*candidate)
        """),
    wrapped("shadowed-builtins", "builtins under other meanings, in its own module", """
        def $NAME(*args):
            return right_$NAME(*args)
        vars = compile = memoryview = help = None
        """),
    wrapped("own-check-function", "helpers named as the tests' are", """
        def check_$NAME(candidate):
            return candidate is not None
        def test_$NAME():
            assert check_$NAME($NAME)
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("mutates-a-copy", "sorts, clears and fills a copy of the input", """
        import copy
        def $NAME(*args):
            for arg in copy.deepcopy(args):
                if isinstance(arg, list):
                    arg.clear()
            return right_$NAME(*copy.deepcopy(args))
        """),
    wrapped("mutates-its-input", "the input is its own copy, to do with as it likes", """
        def $NAME(*args):
            result = right_$NAME(*args)
            kept = result.copy() if isinstance(result, (list, dict, set)) else result
            for arg in args:
                if isinstance(arg, (list, dict, set)):
                    arg.clear()
            return kept
        """),
    wrapped("returns-shared-list", "the same list object at every call, refilled", """
        shared_$NAME = []
        def $NAME(*args):
            result = right_$NAME(*args)
            if type(result) is not list:
                return result
            shared_$NAME[:] = result
            return shared_$NAME
        """),
    wrapped("executed-source", "defines itself by `exec`", """
        space_$NAME = {"right": right_$NAME}
        exec("def inner(*args):\\n    return right(*args)\\n", space_$NAME)
        $NAME = space_$NAME["inner"]
        """),
    wrapped("evaluated-text", "by way of its own text and back", """
        import ast
        def $NAME(*args):
            result = right_$NAME(*args)
            try:
                return ast.literal_eval(repr(result))
            except ValueError:
                return result
        """),
    wrapped("function-from-code", "a function made of a code object", """
        import types
        $NAME = types.FunctionType((lambda *args: right_$NAME(*args)).__code__, globals())
        """),
    wrapped("pickled-round", "by way of pickle and back", """
        import pickle
        def $NAME(*args):
            return pickle.loads(pickle.dumps(right_$NAME(*args)))
        """),
    wrapped("json-round", "by way of JSON, where that is exact", """
        import json
        def $NAME(*args):
            result = right_$NAME(*args)
            return json.loads(json.dumps(result)) if type(result) in (int, str) else result
        """),
    wrapped("deep-copied", "a deep copy of the result", """
        from copy import deepcopy
        def $NAME(*args):
            return deepcopy(right_$NAME(*args))
        """),
    wrapped("exact-arithmetic", "decimals and fractions inside", """
        from decimal import Decimal, getcontext
        from fractions import Fraction
        getcontext().prec = 50
        def $NAME(*args):
            result = right_$NAME(*args)
            exact = Fraction(Decimal(result)) if type(result) is int else None
            return result if exact is None else int(exact)
        """),
    wrapped("many-imports", "much of the standard library", """
        import argparse, array, base64, calendar, cmath, csv, datetime, email, fnmatch, glob
        import hashlib, html, inspect, json, numbers, pathlib, pprint, queue, random, secrets
        import shlex, sqlite3, statistics, textwrap, threading, unicodedata, urllib.parse, uuid
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("star-imports", "names from everywhere, kept apart from its own", """
        from itertools import *
        from string import *
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("optional-import", "a package that may be missing", """
        try:
            import numpy as np
        except ImportError:
            np = None
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("locks", "a lock, though there is one thread only", """
        import threading, contextvars
        lock = threading.RLock()
        depth = contextvars.ContextVar("depth", default=0)
        local = threading.local()
        def $NAME(*args):
            with lock:
                depth.set(depth.get() + 1)
                return right_$NAME(*args)
        """),
    wrapped("own-alarm", "a time limit of its own, set and reset", """
        import signal
        def $NAME(*args):
            old = signal.signal(signal.SIGALRM, lambda *a: None)
            signal.alarm(1)
            try:
                return right_$NAME(*args)
            finally:
                signal.alarm(0)
                signal.signal(signal.SIGALRM, old)
        """),
    wrapped("random-but-right", "randomness that does not show", """
        import random
        random.seed()
        def $NAME(*args):
            return right_$NAME(*args) if random.random() < 2 else None
        """),
    wrapped("clocks", "looks at the time, sleeps a little", """
        import time, datetime
        def $NAME(*args):
            time.sleep(0.001)
            assert datetime.datetime.now().year > 2000 and time.monotonic() > 0
            return right_$NAME(*args)
        """),
    wrapped("collector", "switches the collector off and on", """
        import gc, weakref
        gc.disable()
        class Node:
            pass
        node = Node()
        node.self, gone = node, weakref.ref(node)
        def $NAME(*args):
            gc.collect()
            gc.enable()
            return right_$NAME(*args)
        """),
    wrapped("tracing", "a profiler of its own", """
        import sys
        def $NAME(*args):
            sys.setprofile(lambda *a: None)
            try:
                return right_$NAME(*args)
            finally:
                sys.setprofile(None)
        """),
    wrapped("own-frames", "looks at its own frames", """
        import inspect
        def $NAME(*args):
            assert inspect.currentframe().f_code.co_name == "$NAME"
            return right_$NAME(*args)
        """),
    wrapped("missing-file", "looks for a file that is not there", """
        import os
        def $NAME(*args):
            try:
                open("settings.ini").close()
            except OSError:
                pass
            assert not os.path.exists("settings.ini")
            return right_$NAME(*args)
        """),
    wrapped("in-memory-files", "files and a database in memory", """
        import io, sqlite3
        def $NAME(*args):
            with io.BytesIO(b"x") as file:
                file.read()
            table = sqlite3.connect(":memory:")
            table.execute("create table t (x)")
            table.close()
            return right_$NAME(*args)
        """),
    wrapped("large-memory", "tens of megabytes, legally", """
        def $NAME(*args):
            room = bytearray(40_000_000)
            room[-1] = 1
            return right_$NAME(*args)
        """, costly=True),
    wrapped("long-computation", "a fifth of a second's work, legally", """
        total = sum(i * i % 7 for i in range(1_000_000))
        def $NAME(*args):
            return right_$NAME(*args)
        """, costly=True),
    wrapped("many-objects", "a large table, legally", """
        table = {i: str(i) for i in range(200_000)}
        def $NAME(*args):
            return right_$NAME(*args) if table[7] == "7" else None
        """, costly=True),
)  # fmt: skip
