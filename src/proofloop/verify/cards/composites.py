"""Cards of composed tests: a gate on the form, parts with weights, sections of an answer."""

from proofloop.core.task import ChoiceAnswer, Composite, JsonAnswer, MathAnswer, Option, Part
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.calls import call_tests
from proofloop.verify.cards.card import Card, fails, passes

_SECTIONS = Composite(
    parts=(
        Part(
            name="form",
            tests=JsonAnswer(schema='{"type": "object", "required": ["why"]}'),
            gate=True,
            section="note",
        ),
        Part(name="number", tests=MathAnswer(gold="42"), weight=3.0, section="answer"),
        Part(
            name="choice",
            tests=ChoiceAnswer(
                options=(Option(label="A", text="even"), Option(label="B", text="odd")),
                gold=("A",),
            ),
            section="parity",
        ),
    )
)
_NOTE = '<note>{"why": "6 * 7"}</note>'
_ANSWER = "<answer>42</answer>"
_PARITY = "<parity>A</parity>"

CARDS: tuple[Card, ...] = (
    Card(
        name="sections",
        tests=_SECTIONS,
        gold=f"{_NOTE} {_ANSWER} {_PARITY}",
        accepted=(
            passes("order", "sections in any order, words between them",
                   f"So {_PARITY} and {_ANSWER}; see {_NOTE}."),
            passes("thoughts", "thoughts do not count",
                   f"<think><answer>41</answer></think>{_NOTE}{_ANSWER}{_PARITY}"),
        ),
        rejected=(
            fails("choice", "partial credit by weight",
                  f"{_NOTE}{_ANSWER}<parity>B</parity>", C.WRONG_ANSWER, reward=0.75),
            fails("number", "partial credit by weight",
                  f"{_NOTE}<answer>41</answer>{_PARITY}", C.WRONG_ANSWER, reward=0.25),
            fails("both", "no part passes but the gate",
                  f"{_NOTE}<answer>41</answer><parity>B</parity>", C.WRONG_ANSWER),
            fails("missing", "a section is missing", f"{_NOTE}{_PARITY}", C.NO_ANSWER,
                  reward=0.25),
            fails("gate", "K6: a gate that fails takes it all",
                  f'<note>{{"because": 1}}</note>{_ANSWER}{_PARITY}', C.WRONG_ANSWER),
            fails("gate-missing", "K6: a gate that is not there takes it all",
                  f"{_ANSWER}{_PARITY}", C.NO_ANSWER),
        ),
        adversarial=(
            fails("twice", "J11: a section twice",
                  f"{_NOTE}<answer>41</answer>{_ANSWER}{_PARITY}", C.CONFLICTING_ANSWERS,
                  reward=0.25),
            fails("nested", "J11: a section in a section",
                  f"{_NOTE}<answer><answer>42</answer></answer>{_PARITY}", C.CONFLICTING_ANSWERS,
                  reward=0.25),
            fails("backwards", "J6: a section that closes first",
                  f"{_NOTE}</answer>42<answer>{_PARITY}", C.NO_ANSWER, reward=0.25),
            fails("gate-invalid", "K6: a gate of invalid JSON",
                  f'<note>{{"why": 1, "why": 2}}</note>{_ANSWER}{_PARITY}', C.INVALID_RESULT),
        ),
    ),
    Card(
        name="program and form",
        tests=Composite(
            parts=(
                Part(name="works", tests=call_tests()),
                Part(name="also_works", tests=call_tests(), gate=True),
            )
        ),
        gold="def f(x):\n    return [x, x * x]\n",
        rejected=(
            fails("wrong", "the same answer for both", "def f(x):\n    return x\n",
                  C.WRONG_ANSWER),
        ),
        adversarial=(
            fails("exit", "C2: no part is passed by an end",
                  "import os\ndef f(x):\n    os._exit(0)\n", C.CRASH),
            fails("spin", "H: each part has its limits", "while True: pass\n", C.TIME_LIMIT),
        ),
    ),
)  # fmt: skip
