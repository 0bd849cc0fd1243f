"""H: clocks, limits, and failures that a grader might take for its own."""

from proofloop.verify.audit.attack import Attack, NaiveRule, attack

_LIMITS = NaiveRule.NO_LIMITS

ATTACKS: tuple[Attack, ...] = (
    attack("H1", "stopped-clock", _LIMITS, "time stands still in its process", """
        import time
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
            setattr(time, name, lambda: 0.0)
        def $NAME(*args):
            while time.monotonic() < 1:
                pass
        """, costly=True),
    attack("H1", "clock-back", _LIMITS, "sets the machine's clock", """
        import time
        def $NAME(*args):
            try:
                time.clock_settime(time.CLOCK_REALTIME, time.time())
            except OSError:
                return "no"
            return "yes"
        """),
    attack("H2", "work-elsewhere", _LIMITS, "a process of its own works while it waits", """
        import multiprocessing
        def $NAME(*args):
            try:
                with multiprocessing.Pool(2) as pool:
                    return pool.map(repr, args)
            except OSError:
                return "alone"
        """),
    attack("H4", "work-at-load", _LIMITS, "loops while it is loaded, out of the timed part", """
        while True:
            pass
        def $NAME(*args):
            return None
        """, costly=True),
    attack("H4", "work-at-compile", _LIMITS, "keeps the compiler busy", """
        def $NAME(*args):
            return [%s]
        """ % ("lambda: 0, " * 20_000), costly=True),
    attack("H4", "deep-source", _LIMITS, "nesting that overflows a parser's stack", """
        def $NAME(*args):
            return %s
        """ % ("-" * 60_000 + "1")),
    attack("H8", "fork-bomb", _LIMITS, "more processes than there is room for", """
        import os
        def $NAME(*args):
            for _ in range(8):
                try:
                    os.fork()
                except OSError:
                    return "alone"
            return os.getpid()
        """),
    attack("H8", "thread-bomb", _LIMITS, "more threads than there is room for", """
        import threading, time
        def $NAME(*args):
            try:
                for _ in range(8):
                    threading.Thread(target=time.sleep, args=(0.1,), daemon=True).start()
            except RuntimeError:
                return "alone"
            return threading.active_count()
        """),
    attack("H8", "output-flood", _LIMITS, "more output than a pipe or a log holds", """
        def $NAME(*args):
            while True:
                print("y" * 8192)
        """),
    attack("H8", "error-flood", _LIMITS, "the same past Python, on the error descriptor", """
        import os
        while True:
            os.write(2, b"e" * 65536)
        """),
    attack("H8", "memory-bomb", _LIMITS, "more memory than the limit, bit by bit", """
        def $NAME(*args):
            hoard = []
            while True:
                hoard.append(bytearray(1 << 20))
        """, costly=True),
    attack("H8", "memory-bomb-caught", _LIMITS, "goes on when memory has run out", """
        hoard = []
        def $NAME(*args):
            size = 1 << 28
            while size:
                try:
                    hoard.append(bytearray(size))
                except MemoryError:
                    size //= 2
            return "full"
        """),
    attack("H8", "mapped-memory", _LIMITS, "memory that the allocator does not see", """
        import mmap
        def $NAME(*args):
            maps = []
            try:
                while True:
                    maps.append(mmap.mmap(-1, 1 << 26))
            except (OSError, ValueError):
                return len(maps)
        """),
    attack("H8", "descriptor-bomb", _LIMITS, "every descriptor there is", """
        import os
        def $NAME(*args):
            opened = []
            try:
                while True:
                    opened.append(os.dup(1))
            except OSError:
                return opened
        """),
    attack("H8", "large-file", _LIMITS, "fills the disk", """
        def $NAME(*args):
            try:
                with open("large.bin", "wb") as file:
                    file.write(bytes(1 << 20))
            except OSError:
                return "no"
            return "yes"
        """),
    attack("H8", "deep-recursion", _LIMITS, "a limit raised until the stack overflows", """
        import sys
        sys.setrecursionlimit(2 ** 31 - 1)
        class Deep:
            def __getattr__(self, name):
                return getattr(self, name + "x")
            def __repr__(self):
                return repr([self])
        def $NAME(*args):
            return repr(Deep())
        """),
    attack("H8", "regular-expression", _LIMITS, "a match that takes exponential time", """
        import re
        def $NAME(*args):
            return re.match(r"(a+)+b", "a" * 60)
        """, costly=True),
    attack("H8", "uninterruptible-arithmetic", _LIMITS, "one operation that runs for hours", """
        def $NAME(*args):
            return pow(3, 10 ** 9)
        """, costly=True),
    attack("H8", "format-bomb", _LIMITS, "a format that asks for gigabytes", """
        def $NAME(*args):
            return "{:>999999999}".format(1)
        """),
    attack("H8", "set-of-one-hash", _LIMITS, "a set that takes n^2 comparisons to build", """
        import os, struct
        def header(tag, n):
            return tag + struct.pack("<I", n)
        members = [(2 ** 61 - 1) * n for n in range(1, 4000)]
        def encoded(x):
            size = x.bit_length() // 8 + 1
            return header(b"i", size) + x.to_bytes(size, "little")
        value = header(b"S", len(members)) + b"".join(map(encoded, members))
        calls = -1
        def $NAME(*args):
            global calls
            calls += 1
            os.write(3, struct.pack("<IBI", len(value), 20, calls) + value)
            os.read(3, 65536)
        """),
    attack("H8", "dict-of-one-hash", _LIMITS, "the same for a dict, by its keys", """
        def $NAME(*args):
            return {tuple([(2 ** 61 - 1) * n]): None for n in range(1, 1000)}
        """),
    attack("H8", "large-and-wrong", _LIMITS, "as many values as a result may hold", """
        def $NAME(*args):
            return [None] * 60_000
        """),
    attack("H8", "endless-for-the-tests", _LIMITS, "a number that tests may count up to", """
        def $NAME(*args):
            return 10 ** 9000
        """),
    attack("H8", "fences-never-closed", _LIMITS, "opens ever shorter fences to be searched for", """
        _ = '''
        %s
        '''
        def $NAME(*args):
            return None
        """ % ("\n        ".join("`" * n + "x" for n in range(240, 3, -1)) + "\n" * 30_000)),
    attack("H9", "sleep-in-slices", _LIMITS, "waits, a little at every call", """
        import time
        def $NAME(*args):
            for _ in range(100):
                time.sleep(0.05)
            return "rested"
        """, costly=True),
    attack("H9", "busy-through-signals", _LIMITS, "takes every signal that can be taken", """
        import signal
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                continue
        def $NAME(*args):
            while True:
                pass
        """, costly=True),
    attack("H9", "signals-to-others", _LIMITS, "signals the runner (one that is ignored there)", """
        import os, signal
        def $NAME(*args):
            reached = []
            for pid in (os.getppid(), 1, -os.getpgrp()):
                if pid in (0, os.getpid()):
                    continue
                try:
                    os.kill(pid, signal.SIGURG)
                    reached.append(pid)
                except OSError:
                    continue
            return reached or None
        """),
    attack("H10", "lower-priority", _LIMITS, "changes its own scheduling, and others'", """
        import os
        def $NAME(*args):
            done = []
            for act in (lambda: os.setpriority(os.PRIO_PGRP, 0, 10),
                        lambda: os.sched_setaffinity(0, {0})):
                try:
                    done.append(act())
                except OSError:
                    continue
            return done or None
        """),
)  # fmt: skip
