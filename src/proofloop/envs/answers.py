"""Rows of questions with structured answers (`docs/structured-answers.md` has the table): `prompt`,
`kind`, and what belongs to that kind; or `parts`, each with a kind of its own.
"""

import math

import msgspec

from proofloop.core.task import Composite, Part
from proofloop.envs.data_file import Content, DataFileEnvironment
from proofloop.envs.structured import AnswerRow


class PartRow(AnswerRow, frozen=True, kw_only=True):
    """One part of a composed row; it stands in a section of its own, named as the part."""

    name: str
    weight: float = 1.0
    gate: bool = False


class Row(AnswerRow, frozen=True, kw_only=True):
    prompt: str
    kind: str = ""
    """Of a row without parts."""
    task_id: str | int | None = None
    parts: list[PartRow] = msgspec.field(default_factory=list[PartRow])

    def address(self, index: int) -> str:
        return f"answers/{index if self.task_id is None else self.task_id}"

    def fault(self) -> str | None:
        if not self.prompt.strip():
            return "prompt is empty"
        return self._fault_of_parts() if self.parts else super().fault()

    def _fault_of_parts(self) -> str | None:
        if self.kind:
            return f"both kind ({self.kind}) and parts"
        names = [part.name for part in self.parts]
        for part in self.parts:
            if not part.name.isidentifier() or names.count(part.name) > 1:
                return f"part {part.name!r}: a name must be an identifier, and a part's own"
            if not (math.isfinite(part.weight) and part.weight > 0):
                return f"part {part.name!r}: weight must be above 0"
            if problem := part.fault():
                return f"part {part.name!r}: {problem}"
            if f"</{part.name}>" in part.oracle():
                return f"part {part.name!r}: its answer holds its closing tag"
        return None

    def content(self) -> Content:
        prompt = self.prompt.strip()
        if not self.parts:
            return Content(
                prompt=f"{prompt}\n\n{self.says()}", tests=self.tests(), oracle=self.oracle()
            )
        said = [f"Between <{part.name}> and </{part.name}>: {part.says()}" for part in self.parts]
        parts = tuple(
            Part(
                name=part.name,
                tests=part.tests(),
                weight=part.weight,
                gate=part.gate,
                section=part.name,
            )
            for part in self.parts
        )
        sections = [f"<{part.name}>\n{part.oracle()}\n</{part.name}>" for part in self.parts]
        return Content(
            prompt="\n\n".join((prompt, *said)),
            tests=Composite(parts=parts),
            oracle=self.solution or "\n".join(sections),
        )


class AnswersEnvironment(DataFileEnvironment[Row]):
    name = "answers"
    row_type = Row
    example = "questions.jsonl"
