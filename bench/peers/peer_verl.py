"""verl's `prime_code`, as `default_compute_score` calls it for apps, taco and codecontests."""

import json

from verl.utils.reward_score import prime_code


def passes(question, answer):
    tests = {
        "fn_name": question["name"],
        "inputs": [json.dumps(argument) for argument in question["arguments"]],
        "outputs": [json.dumps(result) for result in question["results"]],
    }
    score, _ = prime_code.compute_score(answer, json.dumps(tests), continuous=True)
    return float(score) == 1.0
