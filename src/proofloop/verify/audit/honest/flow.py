"""The same result by another way through the program: generators, recursion, state, exceptions."""

from proofloop.verify.audit.honest.oddity import Oddity, wrapped

ODDITIES: tuple[Oddity, ...] = (
    wrapped("generator", "a generator, materialised", """
        def results_$NAME(args):
            yield right_$NAME(*args)
        def $NAME(*args):
            return list(results_$NAME(args))[0]
        """),
    wrapped("generator-members", "members that come out of a generator", """
        def $NAME(*args):
            result = right_$NAME(*args)
            return [*(v for v in result)] if type(result) is list else result
        """),
    wrapped("generator-send", "a coroutine of the old kind", """
        def worker_$NAME():
            result = None
            while True:
                args = yield result
                result = right_$NAME(*args)
        def $NAME(*args):
            worker = worker_$NAME()
            next(worker)
            return worker.send(args)
        """),
    wrapped("return-of-generator", "`yield from`, and the value of a StopIteration", """
        def inner_$NAME(args):
            return right_$NAME(*args)
            yield
        def outer_$NAME(args):
            yield (yield from inner_$NAME(args))
        def $NAME(*args):
            return next(outer_$NAME(args))
        """),
    wrapped("coroutine", "an async function, driven by hand", """
        async def solve_$NAME(*args):
            return right_$NAME(*args)
        def $NAME(*args):
            try:
                solve_$NAME(*args).send(None)
            except StopIteration as stop:
                return stop.value
        """),
    wrapped("iterator-class", "an iterator of its own", """
        class Once:
            def __init__(self, value): self.values = [value]
            def __iter__(self): return self
            def __next__(self):
                if not self.values:
                    raise StopIteration
                return self.values.pop()
        def $NAME(*args):
            (result,) = Once(right_$NAME(*args))
            return result
        """),
    wrapped("recursion", "a recursion that counts down to it", """
        def descend_$NAME(depth, args):
            return descend_$NAME(depth - 1, args) if depth else right_$NAME(*args)
        def $NAME(*args):
            return descend_$NAME(300, args)
        """),
    wrapped("deep-recursion", "five thousand frames, with the limit raised", """
        import sys
        sys.setrecursionlimit(20_000)
        def descend_$NAME(depth, args):
            if depth == 0:
                return right_$NAME(*args)
            return descend_$NAME(depth - 1, args)
        def $NAME(*args):
            return descend_$NAME(5_000, args)
        """),
    wrapped("recursion-error-caught", "runs into the limit and goes on", """
        def forever_$NAME():
            return forever_$NAME()
        def $NAME(*args):
            try:
                forever_$NAME()
            except RecursionError:
                return right_$NAME(*args)
        """),
    wrapped("mutual-recursion", "two functions that call each other", """
        def even_$NAME(n, args):
            return right_$NAME(*args) if n == 0 else odd_$NAME(n - 1, args)
        def odd_$NAME(n, args):
            return even_$NAME(n - 1, args)
        def $NAME(*args):
            return even_$NAME(20, args)
        """),
    wrapped("trampoline", "thunks instead of a stack", """
        def $NAME(*args):
            step = lambda: lambda: right_$NAME
            while step is not right_$NAME:
                step = step()
            return step(*args)
        """),
    wrapped("fixed-point", "recursion without a name", """
        $NAME = (lambda make: (lambda x: x(x))(lambda x: make(lambda *a: x(x)(*a))))(
            lambda self: lambda *args: right_$NAME(*args))
        """),
    wrapped("closure-state", "a closure that counts", """
        def make_$NAME():
            count = 0
            def inner(*args):
                nonlocal count
                count += 1
                return right_$NAME(*args)
            return inner
        $NAME = make_$NAME()
        """),
    wrapped("global-state-reset", "a global that each call sets anew", """
        state_$NAME = []
        def $NAME(*args):
            global state_$NAME
            state_$NAME = [right_$NAME(*args)]
            return state_$NAME[0]
        """),
    wrapped("memoised", "a table of earlier results, by text of the arguments", """
        import copy
        known_$NAME = {}
        def $NAME(*args):
            key = repr(args)
            if key not in known_$NAME:
                known_$NAME[key] = right_$NAME(*args)
            return copy.deepcopy(known_$NAME[key])
        """),
    wrapped("lru-cache", "the library's cache, over text", """
        import ast, functools
        @functools.lru_cache(maxsize=None)
        def cached_$NAME(text):
            return right_$NAME(*ast.literal_eval(text))
        def $NAME(*args):
            try:
                return cached_$NAME(repr(args))
            except (ValueError, SyntaxError):
                return right_$NAME(*args)
        """),
    wrapped("single-dispatch", "dispatch on the argument's type", """
        import functools
        @functools.singledispatch
        def pick_$NAME(first, *rest):
            return right_$NAME(first, *rest)
        @pick_$NAME.register
        def _(first: list, *rest):
            return right_$NAME(first, *rest)
        def $NAME(*args):
            return pick_$NAME(*args)
        """),
    wrapped("match-statement", "patterns over the arguments", """
        def $NAME(*args):
            match args:
                case (only,):
                    return right_$NAME(only)
                case (first, *rest) if rest:
                    return right_$NAME(first, *rest)
                case _:
                    return right_$NAME()
        """),
    wrapped("walrus", "assignment in an expression", """
        def $NAME(*args):
            return result if (result := right_$NAME(*args)) is not ... else None
        """),
    wrapped("parameters-of-all-kinds", "positional only, keyword only, star", """
        def $NAME(first=None, /, *rest, keyword="right", **more):
            return right_$NAME(first, *rest) if keyword == "right" else more
        """),
    wrapped("reduce", "a fold", """
        from functools import reduce
        def $NAME(*args):
            return reduce(lambda value, step: step(value), [lambda a: right_$NAME(*a)], args)
        """),
    wrapped("comprehension", "a comprehension with a condition", """
        def $NAME(*args):
            return [right_$NAME(*a) for a in (args,) if a is args][-1]
        """),
    wrapped("loop-else", "a loop with an else, a break and a continue", """
        def $NAME(*args):
            for i in range(5):
                if i < 3:
                    continue
                break
            else:
                return None
            while True:
                return right_$NAME(*args)
        """),
    wrapped("exceptions-for-control", "an exception carries the result", """
        class Found(Exception):
            pass
        def $NAME(*args):
            try:
                raise Found(right_$NAME(*args))
            except Found as found:
                return found.args[0]
            finally:
                pass
        """),
    wrapped("exception-group", "a group of exceptions, split", """
        def $NAME(*args):
            try:
                raise ExceptionGroup("several", [ValueError(1), KeyError(2)])
            except* ValueError:
                pass
            except* KeyError:
                pass
            return right_$NAME(*args)
        """),
    wrapped("finally", "the last word in a finally", """
        def $NAME(*args):
            try:
                result = right_$NAME(*args)
                raise ValueError
            except ValueError:
                pass
            finally:
                kept = result
            return kept
        """),
    wrapped("bare-except", "an except that catches all of its own", """
        def $NAME(*args):
            try:
                {}["missing"]
            except:
                return right_$NAME(*args)
        """),
    wrapped("system-exit-caught", "an exit that it catches itself", """
        import sys
        def $NAME(*args):
            try:
                sys.exit(1)
            except SystemExit:
                return right_$NAME(*args)
        """),
    wrapped("context-managers", "several, one of which swallows an error", """
        import contextlib
        @contextlib.contextmanager
        def quiet():
            try:
                yield 1
            except ValueError:
                pass
        def $NAME(*args):
            with contextlib.ExitStack() as stack, quiet(), contextlib.suppress(KeyError):
                stack.callback(list)
                raise ValueError
            return right_$NAME(*args)
        """),
)  # fmt: skip
