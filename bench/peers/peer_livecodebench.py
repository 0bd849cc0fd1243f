"""LiveCodeBench's grader of generated code: `codegen_metrics`, call-based, six seconds a test."""

import json

from lcb_runner.evaluation.compute_code_generation_metrics import codegen_metrics


def sample_of(question):
    in_outs = {
        "fn_name": question["name"],
        "inputs": [json.dumps(argument) for argument in question["arguments"]],
        "outputs": [json.dumps(result) for result in question["results"]],
    }
    return {"input_output": json.dumps(in_outs)}


def passes(question, answer):
    metrics, _, _ = codegen_metrics(
        [sample_of(question)], [[answer]], k_list=[1], num_process_evaluate=1
    )
    return metrics["pass@1"] == 1.0
