"""The same function as another kind of object: lambdas, decorators, methods, classes."""

from proofloop.verify.audit.honest.oddity import Oddity, wrapped

ODDITIES: tuple[Oddity, ...] = (
    wrapped("lambda", "a lambda is a function", """
        $NAME = lambda *args: right_$NAME(*args)
        """),
    wrapped("annotated-name", "a name with a type, bound to a function", """
        from typing import Any, Callable
        $NAME: Callable[..., Any] = right_$NAME
        """),
    wrapped("partial", "a partial application", """
        import functools
        $NAME = functools.partial(right_$NAME)
        """),
    wrapped("decorated", "a decorator that keeps name and signature", """
        import functools
        def traced(function):
            @functools.wraps(function)
            def inner(*args, **kwargs):
                return function(*args, **kwargs)
            return inner
        @traced
        @traced
        def $NAME(*args):
            return right_$NAME(*args)
        """),
    wrapped("decorator-class", "a decorator that is a class", """
        class Counted:
            def __init__(self, function):
                self.function, self.count = function, 0
            def __call__(self, *args):
                self.count += 1
                return self.function(*args)
        $NAME = Counted(right_$NAME)
        """),
    wrapped("bound-method", "a method of an object made at load", """
        class Solution:
            def solve(self, *args):
                return right_$NAME(*args)
        $NAME = Solution().solve
        """),
    wrapped("static-and-class-methods", "methods of classes", """
        class Solution:
            @classmethod
            def outer(cls, *args):
                return cls.inner(*args)
            @staticmethod
            def inner(*args):
                return right_$NAME(*args)
        $NAME = Solution.outer
        """),
    wrapped("dynamic-class", "a class made by calling `type`", """
        kind = type("Kind", (), {"run": lambda self, *args: right_$NAME(*args)})
        $NAME = kind().run
        """),
    wrapped("metaclass-and-slots", "classes with all trimmings", """
        class Meta(type):
            def __call__(cls, *args):
                return super().__call__(*args).result
        class Solve_$NAME(metaclass=Meta):
            __slots__ = ("result",)
            def __init__(self, *args):
                self.result = right_$NAME(*args)
        def $NAME(*args):
            return Solve_$NAME(*args)
        """),
    wrapped("property-and-descriptor", "attributes that compute", """
        class Lazy_$NAME:
            def __get__(self, owner, kind):
                return right_$NAME(*owner.args)
        class Holder_$NAME:
            value = Lazy_$NAME()
            def __init__(self, args):
                self.args = args
            @property
            def result(self):
                return self.value
        def $NAME(*args):
            return Holder_$NAME(args).result
        """),
    wrapped("abstract-and-protocol", "an interface and its implementation", """
        import abc
        from typing import Protocol
        class Runs(Protocol):
            def run(self, *args): ...
        class Base(abc.ABC):
            @abc.abstractmethod
            def run(self, *args): ...
        class Right(Base):
            def run(self, *args):
                return right_$NAME(*args)
        def $NAME(*args, runner: Runs = Right()):
            return runner.run(*args)
        """),
    wrapped("dataclass-and-enum", "records and enumerations inside", """
        import dataclasses, enum
        class Mode(enum.Enum):
            RIGHT = enum.auto()
        @dataclasses.dataclass(frozen=True, slots=True, order=True)
        class Job:
            args: tuple = ()
            mode: Mode = Mode.RIGHT
        def $NAME(*args):
            job = dataclasses.replace(Job(), args=args)
            return right_$NAME(*job.args) if job.mode is Mode.RIGHT else None
        """),
    wrapped("named-tuple", "a named tuple inside", """
        from typing import NamedTuple
        class Step(NamedTuple):
            done: bool
            value: object
        def $NAME(*args):
            return Step(True, right_$NAME(*args)).value
        """),
    wrapped("own-equality", "objects with an `__eq__` of their own inside", """
        class Wild:
            def __eq__(self, other): return True
            def __hash__(self): return 7
        def $NAME(*args):
            assert Wild() == args and Wild() in [1]
            return right_$NAME(*args)
        """),
    wrapped("int-subclass-inside", "a subclass inside, a plain int outside", """
        class Money(int):
            pass
        def $NAME(*args):
            result = right_$NAME(*args)
            return int(Money(result)) if type(result) is int else result
        """),
    wrapped("bool-and-int", "says which of both it means", """
        def $NAME(*args):
            result = right_$NAME(*args)
            return result is True if isinstance(result, bool) else result
        """),
)  # fmt: skip
