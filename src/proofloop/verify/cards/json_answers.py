"""Cards of JSON answers: wanted values, schemas, and texts that want to be neither."""

import json

from proofloop.core.task import Close, JsonAnswer
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, fails, passes

_PERSON = json.dumps(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150},
            "tags": {
                "type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": True,
                "minItems": 1,
            },
            "code": {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
        "$defs": {"tag": {"enum": ["red", "green", "blue", 1]}},
    }
)  # fmt: skip

CARDS: tuple[Card, ...] = (
    Card(
        name="json value",
        tests=JsonAnswer(wanted='{"id": 1, "ok": true, "xs": [1, 2.5, null], "s": "é"}'),
        gold='{"id": 1, "ok": true, "xs": [1, 2.5, null], "s": "é"}',
        accepted=(
            passes("order", "objects have no order",
                   '{"xs": [1, 2.5, null], "s": "\\u00e9", "ok": true, "id": 1}'),
            passes("fenced", "in a block",
                   'Thus:\n```json\n{"id": 1, "ok": true, "xs": [1, 25e-1, null], "s": "é"}\n```'),
            passes("other-block", "a block of another language is no answer",
                   '```python\nx = 1\n```\n```json\n'
                   '{"id":1,"ok":true,"xs":[1,2.5,null],"s":"é"}\n```'),
        ),
        rejected=(
            fails("float", "1.0 is not 1",
                  '{"id": 1.0, "ok": true, "xs": [1, 2.5, null], "s": "é"}', C.WRONG_ANSWER),
            fails("bool", "true is not 1",
                  '{"id": true, "ok": true, "xs": [1, 2.5, null], "s": "é"}', C.WRONG_ANSWER),
            fails("text", '"1" is not 1',
                  '{"id": "1", "ok": true, "xs": [1, 2.5, null], "s": "é"}', C.WRONG_ANSWER),
            fails("array-order", "arrays have one",
                  '{"id": 1, "ok": true, "xs": [2.5, 1, null], "s": "é"}', C.WRONG_ANSWER),
            fails("missing", "a member is missing", '{"id": 1, "ok": true, "s": "é"}',
                  C.WRONG_ANSWER),
            fails("surplus", "A6: a member too many",
                  '{"id": 1, "ok": true, "xs": [1, 2.5, null], "s": "é", "t": 0}',
                  C.WRONG_ANSWER),
            fails("chat", "words around it", 'Here it is: {"id": 1}', C.INVALID_RESULT),
            fails("quotes", "Python is not JSON", "{'id': 1}", C.INVALID_RESULT),
            fails("comma", "a trailing comma", '{"id": 1,}', C.INVALID_RESULT),
            fails("comment", "a comment", '{"id": 1 /* one */}', C.INVALID_RESULT),
        ),
        adversarial=(
            fails("key-twice", "A6: a key twice",
                  '{"id": 2, "id": 1, "ok": true, "xs": [1, 2.5, null], "s": "é"}',
                  C.INVALID_RESULT),
            fails("key-escaped", "A6: a key twice, once in other letters",
                  '{"\\u0069d": 2, "id": 1, "ok": true, "xs": [1, 2.5, null], "s": "é"}',
                  C.INVALID_RESULT),
            fails("two-texts", "J11: two texts",
                  '{"id": 1, "ok": true, "xs": [1, 2.5, null], "s": "é"} {}', C.INVALID_RESULT),
            fails("two-blocks", "J11: two blocks",
                  '```json\n{"id": 2}\n```\n```json\n'
                  '{"id":1,"ok":true,"xs":[1,2.5,null],"s":"é"}\n```', C.CONFLICTING_ANSWERS),
            fails("nan", "B11: NaN is no JSON", '{"id": NaN}', C.INVALID_RESULT),
            fails("infinity", "B11: Infinity is no JSON", "[-Infinity]", C.INVALID_RESULT),
            fails("overflow", "B11: a float that overflows", "[1e999]", C.INVALID_RESULT),
            fails("digits", "J12: a number of a million digits is not computed",
                  "9" * 200_000, C.INVALID_RESULT),
            fails("deep", "J12: nested too deeply", "[" * 100_000, C.INVALID_RESULT),
            fails("deep-balanced", "J12: nested too deeply", "[" * 999 + "]" * 999,
                  C.INVALID_RESULT),
            fails("huge", "J12: too long", '"' + "x" * 300_000 + '"', C.INVALID_RESULT),
            fails("escapes", "J12: no text takes long", '"\\"' * 80_000, C.INVALID_RESULT),
            fails("proto", "I: members with names of other languages' objects",
                  '{"__proto__": {"id": 1}, "__class__": "x"}', C.WRONG_ANSWER),
            fails("in-thoughts", "J13: in the thoughts alone",
                  '<think>{"id": 1, "ok": true, "xs": [1, 2.5, null], "s": "é"}</think>',
                  C.NO_ANSWER),
        ),
    ),
    Card(
        name="json, any order",
        tests=JsonAnswer(wanted='[{"a": [1, 2]}, {"a": [3, 3]}]', any_order=True),
        gold='[{"a": [1, 2]}, {"a": [3, 3]}]',
        accepted=(
            passes("reordered", "arrays, at any depth", '[{"a": [3, 3]}, {"a": [2, 1]}]'),
        ),
        rejected=(
            fails("fewer", "I3: each as often", '[{"a": [3]}, {"a": [2, 1]}]', C.WRONG_ANSWER),
            fails("moved", "an item of another array", '[{"a": [3, 1]}, {"a": [2, 3]}]',
                  C.WRONG_ANSWER),
        ),
    ),
    Card(
        name="json, numbers",
        tests=JsonAnswer(wanted="[1, 0.5, 2.0]", integral_floats=True, close=Close(abs_tol=0.01)),
        gold="[1, 0.5, 2.0]",
        accepted=(passes("near", "as declared", "[1.0, 0.505, 2]"),),
        rejected=(
            fails("far", "over the tolerance", "[1, 0.52, 2.0]", C.WRONG_ANSWER),
            fails("whole", "whole numbers are exact", "[1.001, 0.5, 2.0]", C.WRONG_ANSWER),
            fails("bool", "true is no number", "[true, 0.5, 2.0]", C.WRONG_ANSWER),
        ),
    ),
    Card(
        name="json schema",
        tests=JsonAnswer(schema=_PERSON),
        gold='{"name": "Ada", "age": 36, "tags": ["red", 1], "code": "AB-12"}',
        accepted=(
            passes("least", "what is required", '{"age": 0, "name": "x"}'),
            passes("integral", "JSON Schema's integers", '{"age": 36.0, "name": "x"}'),
        ),
        rejected=(
            fails("missing", "a member is required", '{"name": "x"}', C.WRONG_ANSWER),
            fails("type", "a text is no integer", '{"name": "x", "age": "3"}', C.WRONG_ANSWER),
            fails("bool", "true is no integer", '{"name": "x", "age": true}', C.WRONG_ANSWER),
            fails("bound", "over the bound", '{"name": "x", "age": 150}', C.WRONG_ANSWER),
            fails("enum", "none of the values", '{"name": "x", "age": 1, "tags": ["pink"]}',
                  C.WRONG_ANSWER),
            fails("enum-bool", "true is not 1", '{"name": "x", "age": 1, "tags": [true]}',
                  C.WRONG_ANSWER),
            fails("unique", "an item twice", '{"name": "x", "age": 1, "tags": [1, 1.0]}',
                  C.WRONG_ANSWER),
            fails("surplus", "a member that is not known", '{"name": "x", "age": 1, "b": 2}',
                  C.WRONG_ANSWER),
        ),
        adversarial=(
            fails("newline", "`$` is the very end",
                  '{"name": "x", "age": 1, "code": "AB-12\\n"}', C.WRONG_ANSWER),
            fails("digits", "a digit of another script",
                  '{"name": "x", "age": 1, "code": "AB-1\u0662"}', C.WRONG_ANSWER),
            fails("null", "null is no object", "null", C.WRONG_ANSWER),
            fails("schema", "the schema is no instance of itself", _PERSON, C.WRONG_ANSWER),
        ),
    ),
    Card(
        name="json schema that backtracks",
        tests=JsonAnswer(schema='{"type": "string", "pattern": "^(a+)+$"}'),
        gold='"aaaa"',
        rejected=(fails("short", "no match", '"aab"', C.WRONG_ANSWER),),
        adversarial=(
            fails("bomb", "J12: a pattern's backtracking costs its limit, and no one else",
                  '"' + "a" * 60 + 'b"', C.TIME_LIMIT),
        ),
    ),
    Card(
        name="json schema of a tree",
        tests=JsonAnswer(
            schema='{"type": "object", "properties": {"v": {"type": "number", "multipleOf": 0.1},'
            ' "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}}, "required": ["next"]}',
            wanted='{"v": 0.3, "next": {"next": null}}',
        ),
        gold='{"v": 0.3, "next": {"next": null}}',
        rejected=(
            fails("inner", "inside a reference", '{"v": 0.3, "next": {"next": 1}}',
                  C.WRONG_ANSWER),
            fails("multiple", "no multiple", '{"v": 0.35, "next": {"next": null}}',
                  C.WRONG_ANSWER),
            fails("value", "fits, and is another value", '{"v": 0.4, "next": {"next": null}}',
                  C.WRONG_ANSWER),
        ),
        adversarial=(
            fails("deep", "as deep as JSON may be", '{"next":' * 48 + "null" + "}" * 48,
                  C.WRONG_ANSWER, C.INVALID_RESULT),
        ),
    ),
)  # fmt: skip
