"""EvalPlus, as `evalplus.evaluate` calls it: half of the tests as base, half as plus inputs, both
must pass; stops at the first failure; its default time limits."""

from evalplus.evaluate import PASS, check_correctness
from evalplus.gen.util import trusted_exec


def passes(question, answer):
    inputs = [[argument] for argument in question["arguments"]]
    half = len(inputs) // 2
    problem = {
        "task_id": "HumanEval/0",
        "entry_point": question["name"],
        "base_input": inputs[:half],
        "plus_input": inputs[half:],
        "atol": 0,
    }
    expected = {}
    for part in ("base", "plus"):
        expected[part], expected[f"{part}_time"] = trusted_exec(
            question["oracle"], problem[f"{part}_input"], question["name"], record_time=True
        )
    result = check_correctness("humaneval", 0, problem, answer, expected, fast_check=True)
    return result["base"][0] == result["plus"][0] == PASS
