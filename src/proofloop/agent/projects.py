"""An agent at a task whose key is a project's own tests (`core.project.ProjectTests`).

Its workspace shows the project's tree and nothing of the key: the hidden tests lie in no file that
it could find.  What is judged are the files that it changed where the task allows it; what it left
elsewhere (a script to try things, an edited test) counts for nothing.  The tests that it may see
are put into the workspace beside the tree.
"""

import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from proofloop.agent.asks import Asks
from proofloop.agent.changes import MAX_BYTES, Changed, Changes, changes
from proofloop.agent.drive import in_workspace
from proofloop.agent.permissions import matches
from proofloop.core.errors import UserError
from proofloop.core.project import FolderTree, ProjectTests, TreeFile, file_block
from proofloop.core.sandbox import Sandbox, Workspace
from proofloop.verify.projects.tree import check_folder


def on_project(
    sandbox: Sandbox,
    tests: ProjectTests,
    begin: Callable[[Workspace], Asks],
    *,
    visible: tuple[TreeFile, ...] = (),
) -> Asks:
    """`begin` starts the episode in its workspace; the rollout's answer is what the verifier takes.
    Raises UserError where the project's folder is not what it was."""
    given = (*tests.changed, *visible)
    no_answer = {file.path for file in (*visible, *tests.modules)}
    with _tree(tests) as folder:

        def opened() -> Workspace:
            workspace = sandbox.open_workspace(folder)
            for file in given:
                workspace.write(file.path, file.content)
            return workspace

        def answer(workspace: Workspace) -> str:
            try:
                found = changes(workspace, folder)
            except UserError:  # more files than can be listed, which are the agent's own
                return ""
            own = since_handed_out(workspace, found, given).files
            files = tuple(file for file in own if file.path not in no_answer)
            return answer_of(Changes(files=files), tests.allowed)

        return (yield from in_workspace(opened, begin, answer))


def since_handed_out(workspace: Workspace, found: Changes, given: tuple[TreeFile, ...]) -> Changes:
    """The changes since a task handed out its own version of some files: against those, not against
    the tree that many tasks share (which is what a right answer may bring back)."""
    paths = {file.path for file in given}
    files = [file for file in found.files if file.path not in paths]
    for file in given:
        content = workspace.read(file.path, max_bytes=MAX_BYTES)
        if content != file.content:
            files.append(Changed(path=file.path, content=content))
    return Changes(files=tuple(sorted(files, key=lambda f: f.path)), left_out=found.left_out)


def answer_of(found: Changes, allowed: tuple[str, ...] = ("**",)) -> str:
    """Changed files, whole, as an answer writes them; those that are not allowed, deleted, or no
    text are left out."""
    blocks: list[str] = []
    for file in found.files:
        if file.content is None or not any(matches(glob, file.path) for glob in allowed):
            continue
        try:
            blocks.append(file_block(file.path, file.content.decode()))
        except UnicodeDecodeError:
            continue
    return "\n".join(blocks)


@contextmanager
def _tree(tests: ProjectTests) -> Generator[Path]:
    """The project as a folder, for as long as it is needed."""
    if isinstance(tests.tree, FolderTree):
        check_folder(tests.tree)
        yield Path(tests.tree.folder)
        return
    with tempfile.TemporaryDirectory(prefix="proofloop-project-") as place:
        for file in tests.tree.files:
            path = Path(place, file.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        yield Path(place)
