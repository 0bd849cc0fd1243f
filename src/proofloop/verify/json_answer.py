"""JSON answers: parsed strictly here, held against a schema in a sandbox, compared here.

The wanted value never leaves this process.  The schema does, for it may be slow on a model's text
(a `pattern` that backtracks): a validation that reaches its limit is the answer's fault.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from proofloop.core import json_schema, value
from proofloop.core.json_schema_fault import fault
from proofloop.core.sandbox import Call, ClaimKind, Ending, Limits, Program, Sandbox
from proofloop.core.strict_json import NotJson, parse
from proofloop.core.task import JsonAnswer
from proofloop.core.verdict import ScoredCause, UnscoredCause, Verdict
from proofloop.verify.comparison import agree
from proofloop.verify.math.extract import NoFinalAnswer
from proofloop.verify.outcome import cause_of_ending, exception_name, judged, unscored
from proofloop.verify.place import text_at

_VALIDATOR = Path(json_schema.__file__).read_text(encoding="utf-8")
_TAGS = ("json", "jsonc", "json5")
"""What models call it; the grammar is strict JSON's whatever they do."""
_TOO_MUCH = {
    "MemoryError": ScoredCause.MEMORY_LIMIT,
    "RecursionError": ScoredCause.INVALID_RESULT,  # no schema leads to itself; the value is deep
}


def verify_json(sandbox: Sandbox, key: JsonAnswer, answer: str, limits: Limits) -> Verdict:
    """Raises SandboxLost when our side broke."""
    if problem := problem_of_key(key):
        return unscored(UnscoredCause.INVALID_KEY, problem, sandbox.tier)
    try:
        claimed = parse(text_at(key.place, answer, tags=_TAGS))
    except NoFinalAnswer as e:
        return judged(e.cause, e.detail, sandbox.tier)
    except NotJson as e:
        return judged(ScoredCause.INVALID_RESULT, f"not strict JSON: {e}", sandbox.tier)
    if key.schema:
        verdict = _validated(sandbox, parse(key.schema), claimed, limits)
        if verdict is not None:
            return verdict
    if key.wanted and not same_json(key, parse(key.wanted), claimed):
        return judged(ScoredCause.WRONG_ANSWER, "another value", sandbox.tier)
    fitted = "fits the schema" if key.schema else ""
    equal = "the same value" if key.wanted else ""
    return judged(ScoredCause.PASSED, " and ".join(filter(None, (fitted, equal))), sandbox.tier)


@lru_cache(maxsize=256)  # a key is asked for once per rollout of its group
def problem_of_key(key: JsonAnswer) -> str | None:
    """Why the key cannot judge anything, if so."""
    if not key.wanted and not key.schema:
        return "the key has neither a wanted value nor a schema"
    if key.any_order and key.close is not None:
        return "any_order and close exclude each other"
    for name, text in (("wanted", key.wanted), ("schema", key.schema)):
        try:
            parsed = parse(text) if text else True
        except NotJson as e:
            return f"{name} is not strict JSON: {e}"
        if name == "schema" and (wrong := fault(parsed)):
            return f"schema: {wrong}"
    return None


def same_json(key: JsonAnswer, wanted: Any, claimed: Any) -> bool:
    """Both as our own strict parser made them."""
    if key.integral_floats:
        wanted, claimed = _integral(wanted), _integral(claimed)
    if key.any_order:
        wanted, claimed = _sorted(wanted), _sorted(claimed)
    if key.close is not None:
        return agree(wanted, claimed, key.close)
    return value.strictly_equal(wanted, claimed)


def _integral(json: Any) -> Any:
    """Floats that are whole as ints."""
    if isinstance(json, float) and json.is_integer():
        return int(json)
    if isinstance(json, list):
        return [_integral(item) for item in json]
    if isinstance(json, dict):
        return {name: _integral(member) for name, member in json.items()}
    return json


def _sorted(json: Any) -> Any:
    if isinstance(json, list):
        return sorted((_sorted(item) for item in json), key=value.canonical)
    if isinstance(json, dict):
        return {name: _sorted(member) for name, member in json.items()}
    return json


def _validated(sandbox: Sandbox, schema: Any, claimed: Any, limits: Limits) -> Verdict | None:
    """None where it fits.  Only our own code runs there, so its word counts; the time and the
    memory that it takes are the answer's."""
    try:
        args = value.encode((schema, claimed))
    except value.EncodeError as e:
        return judged(ScoredCause.INVALID_RESULT, f"too large to be validated: {e}", sandbox.tier)
    call = Call(function="fits", args=args)
    enough = msgspec.structs.replace(limits, result_bytes=1 << 20)
    execution = sandbox.run(Program(source=_VALIDATOR, calls=(call,), limits=enough))
    if execution.ending is not Ending.COMPLETED:
        cause = cause_of_ending(execution.ending, execution.detail)
        return judged(cause, f"while it was validated: {execution.detail}", sandbox.tier)
    (claim,) = execution.claims
    if claim.kind is not ClaimKind.RETURNED:
        raised = exception_name(claim)
        if raised not in _TOO_MUCH:
            raise RuntimeError(f"the validator raised {raised}")
        return judged(_TOO_MUCH[raised], "too much to be validated", sandbox.tier)
    misfit = value.decode(claim.data)
    if not misfit:
        return None
    # The place is the schema's own text; of a model's there is nothing in it.
    place = re.sub(r"[^\x20-\x7e]", "?", str(misfit))[:200]
    return judged(ScoredCause.WRONG_ANSWER, f"does not fit {place}", sandbox.tier)
