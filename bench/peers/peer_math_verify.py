"""math-verify, as its own documentation uses it: `verify(parse(gold), parse(answer))`."""

from math_verify import parse, verify


def passes(question, answer):
    return bool(verify(parse(f"$\\boxed{{{question['gold']}}}$"), parse(answer)))
