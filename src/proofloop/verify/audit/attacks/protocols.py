"""B: results that are objects with code of their own, or values on which comparisons stumble."""

from proofloop.verify.audit.attack import Attack, NaiveRule, attack

_EQUALITY = NaiveRule.EQUALITY
_SAME = NaiveRule.SAME_PROCESS

ATTACKS: tuple[Attack, ...] = (
    attack("B1", "always-equal", _EQUALITY, "`__eq__` says yes to everything", """
        class Yes:
            def __eq__(self, other):
                return True
        def $NAME(*args):
            return Yes()
        """),
    attack("B1", "equal-by-metaclass", _EQUALITY, "a class whose metaclass says yes", """
        class Meta(type):
            def __eq__(cls, other):
                return True
            __hash__ = type.__hash__
        class Yes(metaclass=Meta):
            pass
        def $NAME(*args):
            return Yes
        """),
    attack("B1", "mock-any", _EQUALITY, "the standard library's own object that equals all", """
        def $NAME(*args):
            from unittest.mock import ANY
            return ANY
        """),
    attack("B1", "equal-members", _EQUALITY, "a true list whose members equal everything", """
        class Yes:
            def __eq__(self, other):
                return True
        def $NAME(*args):
            return [Yes() for _ in range(len(args[0]) if hasattr(args[0], "__len__") else 2)]
        """),
    attack("B1", "chameleon", _EQUALITY, "becomes what it is compared with", """
        class Chameleon:
            def __eq__(self, other):
                self.__class__ = type("Copy", (), {
                    "__eq__": lambda s, o: o == other, "__repr__": lambda s: repr(other)})
                return True
        def $NAME(*args):
            return Chameleon()
        """),
    attack("B2", "int-subclass", _EQUALITY, "passes isinstance(…, int) and json.dumps", """
        class Int(int):
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            __hash__ = int.__hash__
        def $NAME(*args):
            return Int(0)
        """),
    attack("B2", "str-subclass", _EQUALITY, "passes isinstance(…, str), strips to itself", """
        class Str(str):
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            def strip(self, *args): return self
            lower = upper = strip
            __hash__ = str.__hash__
        def $NAME(*args):
            return Str("wrong")
        """),
    attack("B2", "list-subclass", _EQUALITY, "passes isinstance(…, list) and sorts to itself", """
        class List(list):
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            def __len__(self): return 10 ** 6
        def $NAME(*args):
            return List()
        """),
    attack("B2", "dict-subclass", _EQUALITY, "has every key, with the value asked for", """
        class Dict(dict):
            def __eq__(self, other): return True
            def __missing__(self, key): return key
            def get(self, key, default=None): return default
        def $NAME(*args):
            return Dict()
        """),
    attack("B2", "tuple-subclass", _EQUALITY, "a named tuple that equals everything", """
        from typing import NamedTuple
        class Pair(NamedTuple):
            a: int = 0
            b: int = 0
            def __eq__(self, other): return True
        def $NAME(*args):
            return Pair()
        """),
    attack("B2", "float-subclass", _EQUALITY, "whose differences are nil", """
        class Float(float):
            def __eq__(self, other): return True
            def __sub__(self, other): return 0.0
            __rsub__ = __sub__
        def $NAME(*args):
            return Float(0)
        """),
    attack("B2", "int-enum", _EQUALITY, "an IntEnum member, equal by its mixin", """
        import enum
        class Any(enum.IntEnum):
            VALUE = 0
            def __eq__(self, other): return True
            def __hash__(self): return 0
        def $NAME(*args):
            return Any.VALUE
        """),
    attack("B3", "never-unequal", _EQUALITY, "only `__ne__` lies: for `if got != want: fail`", """
        class No:
            def __ne__(self, other):
                return False
        def $NAME(*args):
            return No()
        """),
    attack("B3", "true-and-sized", _EQUALITY, "true, sized, and holds everything", """
        class Agreeable:
            def __bool__(self): return True
            def __len__(self): return 3
            def __contains__(self, item): return True
            def __iter__(self): return iter(())
            def __getitem__(self, index): return self
        def $NAME(*args):
            return Agreeable()
        """),
    attack("B3", "every-order", _EQUALITY, "less, more and equal at once", """
        class Between:
            def __lt__(self, other): return True
            __le__ = __gt__ = __ge__ = __eq__ = __lt__
        def $NAME(*args):
            return Between()
        """),
    attack("B3", "magic-mock", _EQUALITY, "a mock that has every method there is", """
        def $NAME(*args):
            from unittest.mock import MagicMock
            mock = MagicMock()
            mock.__eq__.return_value = True
            return mock
        """),
    attack("B4", "no-difference", _EQUALITY, "arithmetic for tolerance tests comes out as 0", """
        class Near:
            def __sub__(self, other): return 0.0
            def __rsub__(self, other): return 0.0
            def __abs__(self): return 0.0
            def __float__(self): return 0.0
            def __round__(self, digits=0): return self
        def $NAME(*args):
            return Near()
        """),
    attack("B4", "array-protocol", _EQUALITY, "answers NumPy's protocols with what suits", """
        class Array:
            __array_priority__ = 1e9
            def __array_ufunc__(self, *args, **kwargs): return True
            def __array_function__(self, *args, **kwargs): return True
            def __array__(self, *args, **kwargs): return [True]
            def all(self): return True
            def __eq__(self, other): return self
            def __bool__(self): return True
        def $NAME(*args):
            return Array()
        """),
    attack("B5", "alias-of-arguments", _SAME, "the arguments, in case a result is one", """
        def $NAME(*args):
            return args
        """),
    attack("B6", "clear-the-arguments", _SAME, "empties its inputs for the reference", """
        def $NAME(*args):
            for arg in args:
                if isinstance(arg, (list, dict, set)):
                    arg.clear()
            return args[0] if isinstance(args[0], (list, dict, set)) else [args[0]]
        """),
    attack("B6", "arguments-become-liars", _SAME, "leaves always-equal objects in its inputs", """
        class Yes:
            def __eq__(self, other): return True
            def __hash__(self): return 0
        def $NAME(*args):
            for arg in args:
                if isinstance(arg, list):
                    arg[:] = [Yes()] * (len(arg) + 1)
            return args[0] if isinstance(args[0], list) else "no list"
        """),
    attack("B7", "stale-memory", _SAME, "an uninitialised buffer, in case a result lay there", """
        import ctypes
        malloc = ctypes.CDLL(None).malloc
        malloc.restype = ctypes.c_void_p
        def $NAME(*args):
            return ctypes.string_at(malloc(ctypes.c_size_t(64)), 16)
        """),
    attack("B8", "lazy-comparison", _EQUALITY, "decides in the comparison, out of every limit", """
        class Later:
            def __init__(self, args): self.args = args
            def __eq__(self, other):
                self.answer = other
                return other == self.answer
        def $NAME(*args):
            return Later(args)
        """),
    attack("B8", "generator-result", NaiveRule.EXIT_STATUS, "a generator: nothing ran yet", """
        def $NAME(*args):
            yield from args
            raise SystemExit(0)
        """),
    attack("B8", "coroutine-result", NaiveRule.EXIT_STATUS, "a coroutine that nobody awaits", """
        async def $NAME(*args):
            raise ValueError("never reached")
        """),
    attack("B9", "reduce-to-code", _SAME, "unpickling it runs code in the grader", """
        class Payload:
            def __reduce__(self):
                return exec, ("import sys; sys.modules['__main__'].passed = True",)
        def $NAME(*args):
            return Payload()
        """),
    attack("B9", "copy-hook", _SAME, "copying it runs code in the grader", """
        class Payload:
            def __deepcopy__(self, memo):
                raise SystemExit(0)
            __copy__ = __reduce_ex__ = __deepcopy__
        def $NAME(*args):
            return Payload()
        """),
    attack("B10", "forged-repr", NaiveRule.OUTPUT, "its text is a whole report", """
        class Report:
            def __repr__(self):
                return '{"passed": true, "result": "ok"}'
            __str__ = __repr__
        def $NAME(*args):
            return Report()
        """),
    attack("B10", "repr-injection", NaiveRule.OUTPUT, "a string that adds a line", """
        def $NAME(*args):
            return 'x"}\\n{"passed": true, "score": 1.0}\\nALL TESTS PASSED\\n'
        """),
    attack("B10", "code-in-text", _SAME, "a string that is a pass when it is evaluated", """
        def $NAME(*args):
            return "__import__('sys').exit(0) or type('Y', (), {'__eq__': lambda s, o: True})()"
        """),
    attack("B10", "class-property", _EQUALITY, "`__class__` names whatever type is wanted", """
        class Masked:
            __class__ = property(lambda self: bool)
            def __eq__(self, other): return True
            def __bool__(self): return True
        def $NAME(*args):
            return Masked()
        """),
    attack("B10", "yes-proxy", _EQUALITY, "every attribute is there, and callable", """
        class Proxy:
            def __getattr__(self, name): return self
            def __call__(self, *args, **kwargs): return self
            def __eq__(self, other): return True
            def __hash__(self): return 0
            def __index__(self): return 0
        def $NAME(*args):
            return Proxy()
        """),
    attack("B11", "nan", NaiveRule.LENIENT, "`abs(got - want) > tol` is false of a NaN", """
        def $NAME(*args):
            return float("nan")
        """),
    attack("B11", "nan-everywhere", NaiveRule.LENIENT, "NaNs in the shape of the input", """
        def $NAME(*args):
            nan = float("nan")
            return [nan] * len(args[0]) if hasattr(args[0], "__len__") else complex(nan, nan)
        """),
    attack("B11", "infinity", NaiveRule.LENIENT, "breaks relative tolerances", """
        def $NAME(*args):
            return float("-inf")
        """),
    attack("B11", "huge-int", NaiveRule.NO_LIMITS, "an int that takes minutes to print", """
        def $NAME(*args):
            return 1 << 30_000_000
        """),
    attack("B11", "int-at-the-cap", NaiveRule.NO_LIMITS, "the largest int that still crosses", """
        def $NAME(*args):
            return (1 << 8 * 4095) - 1
        """),
    attack("B11", "endless-nesting", NaiveRule.NO_LIMITS, "nested past any recursion limit", """
        def $NAME(*args):
            nest = []
            for _ in range(50_000):
                nest = [nest, nest]
            return nest
        """),
    attack("B11", "contains-itself", NaiveRule.NO_LIMITS, "comparing or printing it never ends", """
        def $NAME(*args):
            loop = {}
            loop["loop"] = [loop]
            return loop
        """),
    attack("B11", "lone-surrogate", NaiveRule.NO_LIMITS, "text that a report cannot encode", """
        def $NAME(*args):
            return "\\ud800" * 20 + "\\x00"
        """),
    attack("B11", "one-hash-for-all", NaiveRule.NO_LIMITS, "a set whose members collide", """
        def $NAME(*args):
            return {i * (2 ** 61 - 1) for i in range(2000)}
        """, costly=True),
    attack("B11", "hostile-key", _EQUALITY, "a dict whose key runs code when it is looked up", """
        class Key:
            def __eq__(self, other): return True
            def __hash__(self): raise SystemExit(0) if armed else 0
        armed = []
        def $NAME(*args):
            return {0: Key(), "x": [Key()]}
        """),
)  # fmt: skip
