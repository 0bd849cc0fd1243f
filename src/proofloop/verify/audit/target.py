"""What an answer is written against: the functions asked for, and what the prompt shows of them.

Read from the public side of a problem and from its oracle's text (for names and nothing else).
Nothing is executed; literals are parsed.
"""

import ast
import re
from dataclasses import dataclass

from proofloop.core import value
from proofloop.core.errors import UserError
from proofloop.core.task import CallTests, CheckProgram, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function asked for."""

    name: str
    arity: int
    shown: str
    """Source of a list of the prompt's examples: `[((3,), 9), …]`, (arguments, result)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    functions: tuple[Function, ...]
    oracle: str
    prefix: str
    """Program text that an answer may continue; empty where there is none."""


def function_tests(problem: Problem) -> CallTests | CheckProgram:
    """Raises UserError where the problem does not ask for functions."""
    tests = problem.key.tests
    if isinstance(tests, CallTests | CheckProgram):
        return tests
    raise UserError(
        f"{problem.task.env} does not ask for functions: its tasks cannot be attacked by programs "
        "that define some; audit functions, humaneval or mbpp"
    )


def oracle_of(problem: Problem) -> str:
    """Raises UserError where the problem has none."""
    if problem.oracle is None:
        raise UserError(
            f"task {problem.task.id} has no solution, which attacks and mutants are made from"
        )
    return problem.oracle


def target_of(problem: Problem) -> Target:
    """Raises UserError where the problem does not ask for functions, or has no oracle."""
    tests, oracle = function_tests(problem), oracle_of(problem)
    prompt = "\n".join(message.content for message in problem.task.messages)
    if isinstance(tests, CallTests):
        arities = {test.function: len(value.decode(test.args)) for test in tests.calls}
    else:
        arities = {tests.entry_point: _arity(oracle, tests.entry_point)}
    functions = tuple(
        Function(name=name, arity=arity, shown=_shown(prompt, name))
        for name, arity in arities.items()
    )
    return Target(functions=functions, oracle=oracle, prefix=problem.task.answer_prefix)


def _arity(source: str, name: str) -> int:
    """Positional parameters of the last definition of `name`; 1 where there is none to read."""
    arity = 1
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            arity = len(node.args.posonlyargs) + len(node.args.args)
    return arity


def _shown(prompt: str, name: str) -> str:
    """Examples in the styles that prompts use: `assert f(x) == y`, `f(x) => y`, `>>> f(x)` with y
    on the line below."""
    examples: list[str] = []
    lines = [re.sub(r"^(>>>|\.\.\.|assert)\s+", "", line.strip()) for line in prompt.split("\n")]
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if not line.startswith(f"{name}("):
            continue
        call, *result = re.split(r"\s(?:==|=>|->|➞|=|returns?|should return)\s", line, maxsplit=1)
        example = _example(call, result[0] if result else below)
        if example is not None and example not in examples:
            examples.append(example)
    return f"[{', '.join(examples)}]"


def _example(call: str, result: str) -> str | None:
    """Source of one pair, where both sides are literals."""
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        if not isinstance(tree, ast.Call) or tree.keywords:
            return None
        args = tuple(ast.literal_eval(arg) for arg in tree.args)
        return repr((args, ast.literal_eval(result.strip())))
    except (SyntaxError, ValueError):
        return None
