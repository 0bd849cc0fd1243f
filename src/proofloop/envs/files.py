"""Programs that work on files: what is in a folder, what shall be there in the end.

A row gives a statement, `given` files, `wanted` files (path -> text, null for what must be gone)
and, as a rule, a solution.  `executable` names the wanted files that must be so, `folders` wanted
folders; with `allows_surplus` other files may be there, too.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from proofloop.core.file_tree import FileTree, TreeFile, TreeFolder
from proofloop.core.language import BUILT_IN, PYTHON, Language
from proofloop.envs.data_file import Content, DataFileEnvironment, DataRow

INSTRUCTION = (
    "Write a {title} program. It is run in a folder of files, which it must leave as asked for.\n\n"
)


class Row(DataRow, frozen=True, kw_only=True):
    prompt: str
    wanted: dict[str, str | None]
    given: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    executable: list[str] = msgspec.field(default_factory=list[str])
    folders: list[str] = msgspec.field(default_factory=list[str])
    allows_surplus: bool = False
    stdin: str = ""
    language: str | None = None
    solution: str = ""
    task_id: str | int | None = None

    def address(self, index: int) -> str:
        return f"files/{index if self.task_id is None else self.task_id}"

    def tests(self, language: Language) -> FileTree:
        wanted = {path: text for path, text in self.wanted.items() if text is not None}
        return FileTree(
            given=tuple(
                TreeFile(path=path, content=text.encode()) for path, text in self.given.items()
            ),
            wanted=(
                *(
                    TreeFile(
                        path=path, content=text.encode(), is_executable=path in self.executable
                    )
                    for path, text in wanted.items()
                ),
                *(TreeFolder(path=path) for path in self.folders),
            ),
            absent=tuple(path for path, text in self.wanted.items() if text is None),
            allows_surplus=self.allows_surplus,
            stdin=self.stdin.encode(),
            language=language,
        )


class FilesEnvironment(DataFileEnvironment[Row]):
    name = "files"
    row_type = Row
    example = "files.jsonl"

    def __init__(
        self,
        path: Path,
        *,
        languages: Mapping[str, Language] = BUILT_IN,
        language: str = PYTHON.name,
    ) -> None:
        """`language`: of rows that name none.  Raises DataError."""
        self._known = languages
        self._language = language
        super().__init__(path)

    def fault_of(self, row: Row) -> str | None:
        name = row.language or self._language
        if name not in self._known:
            return f"no language {name!r}; known: {', '.join(self._known)}"
        if not row.prompt.strip():
            return "prompt is empty"
        for path in row.executable:
            if row.wanted.get(path) is None:
                return f"executable names {path!r}, which is not among the wanted files"
        fault = row.tests(self._known[name]).fault()
        return None if fault is None else f"the row {fault}"

    def content_of(self, row: Row) -> Content:
        language = self._language_of(row)
        return Content(
            prompt=INSTRUCTION.format(title=language.title) + row.prompt,
            tests=row.tests(language),
            oracle=row.solution or None,
        )

    def identity_of(self, row: Row) -> object:
        """What the recipe adds to a row makes another task of it."""
        language = self._language_of(row)
        return (row, language.name, language.compile)

    def languages(self) -> set[Language]:
        """Even Python works on files in a process started for the purpose."""
        return {msgspec.structs.replace(self._language_of(r), is_forked=False) for r in self._rows}

    def _language_of(self, row: Row) -> Language:
        return self._known[row.language or self._language]
