"""A repository as agents get it: one commit's files, without history, remotes or the twin.

Prepared once, in a folder; each rollout's workspace is a copy-on-write view of it.  The twin is an
installed copy of the same package, which would be the answer to every task: it is hidden from
commands wherever their interpreter would find it.  Only files are read here, nothing of the
repository runs, and none of its filters, hooks or settings.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from proofloop.agent.permissions import Permissions
from proofloop.agent.site import ROOT
from proofloop.core.errors import UserError
from proofloop.verify.projects.interpreter import interpreter

MAX_BYTES = 512 << 20
GIT_TIMEOUT_S = 120
_WHO = {
    "GIT_AUTHOR_NAME": "base", "GIT_AUTHOR_EMAIL": "base@localhost",
    "GIT_COMMITTER_NAME": "base", "GIT_COMMITTER_EMAIL": "base@localhost",
    "GIT_AUTHOR_DATE": "2000-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2000-01-01T00:00:00Z",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What workspaces are views of."""

    tree: Path
    python: str
    host_read: tuple[str, ...]
    """What of the machine commands must read to run it."""
    hidden: tuple[str, ...]
    """Installed twins."""
    import_paths: tuple[str, ...]
    commit: str = ""

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """Variables of commands: the tree is imported from, wherever a command stands in it."""
        return (
            ("PATH", f"{Path(self.python).parent}:/usr/local/bin:/usr/bin:/bin"),
            ("PYTHONPATH", ":".join(f"{ROOT}/{path}" for path in self.import_paths)),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "safe.directory"),
            ("GIT_CONFIG_VALUE_0", "*"),
        )

    @property
    def test_command(self) -> tuple[str, ...]:
        return (self.python, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider")

    def permissions(self, rules: Permissions | None = None) -> Permissions:
        """With what its programs need."""
        rules = rules or Permissions()
        return msgspec.structs.replace(
            rules,
            host_read=tuple(dict.fromkeys((*rules.host_read, *self.host_read))),
            no_host_read=tuple(dict.fromkeys((*rules.no_host_read, *self.hidden))),
        )


def prepare(repository: Path, folder: Path, *, commit: str = "HEAD", python: str = "") -> Base:
    """The files of a commit in `folder/tree`, which must not be there, as a repository of one
    commit.  Raises UserError."""
    commit = git(repository, "rev-parse", "--verify", f"{commit}^{{commit}}").strip()
    tree = folder / "tree"
    tree.mkdir(parents=True)
    write_commit(repository, commit, tree)
    begin_history(tree)
    found = interpreter(python)
    names = import_names(tree)
    return Base(
        tree=tree,
        python=found.executable,
        host_read=found.read,
        hidden=tuple(twins(found.site_paths, names)),
        import_paths=import_paths(tree),
        commit=commit,
    )


def git(
    repository: Path, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> str:
    """What git says; hooks, pagers and configured programs are off.  Raises UserError."""
    return run_git(repository, arguments, stdin, env).decode("utf-8", "surrogateescape")


def run_git(
    repository: Path,
    arguments: Sequence[str],
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), "-c", "core.hooksPath=/dev/null", "-c",
             "core.fsmonitor=", "-c", "core.quotePath=false", "-c", "gc.auto=0",
             "-c", "commit.gpgSign=false", "--no-optional-locks", *arguments],
            input=stdin, capture_output=True, timeout=GIT_TIMEOUT_S, check=True,
            env={"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/"),
                 "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(env or {})},
        )  # fmt: skip
    except FileNotFoundError:
        raise UserError("there is no git on this machine, which reads repositories") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{repository}: git {arguments[0]} takes too long") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip().replace("\n", " ")
        raise UserError(f"{repository}: git {arguments[0]} failed: {said or error}") from error
    return done.stdout


def write_commit(repository: Path, commit: str, tree: Path) -> None:
    """Files as they are in the commit, byte for byte; links that lead out are left out."""
    listed = run_git(repository, ("ls-tree", "-r", "-z", commit)).split(b"\0")
    entries = [_entry(line) for line in listed if line]
    modules = [path for mode, _, path in entries if mode == "160000"]
    if modules:
        raise UserError(
            f"{repository}: has submodules ({modules[0]}), whose files are not in its commits; "
            "commit their files themselves"
        )
    ids = "".join(f"{id}\n" for _, id, _ in entries).encode()
    blobs = _blobs(run_git(repository, ("cat-file", "--batch"), ids))
    total = 0
    for (mode, _, path), content in zip(entries, blobs, strict=True):
        total += len(content)
        if total > MAX_BYTES:
            raise UserError(f"{repository}: over {MAX_BYTES >> 20} MiB in one commit")
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if mode == "120000":
            if _stays_inside(path, content):
                os.symlink(content, os.fsencode(place))
            continue
        place.write_bytes(content)
        if mode == "100755":
            place.chmod(0o755)


def _entry(line: bytes) -> tuple[str, str, str]:
    """Mode, id, path."""
    head, _, path = line.partition(b"\t")
    mode, _, id = head.decode().split(" ")
    return mode, id, os.fsdecode(path)


def _blobs(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        end = data.index(b"\n", at)
        size = int(data[at:end].split()[2])
        yield data[end + 1 : end + 1 + size]
        at = end + 1 + size + 1


def _stays_inside(path: str, target: bytes) -> bool:
    if target.startswith(b"/"):
        return False
    whole = os.path.normpath(PurePosixPath(path).parent / os.fsdecode(target))
    return not whole.startswith("..")


def begin_history(tree: Path) -> None:
    """One commit, so that `git diff` and `git log` tell of the agent's own work alone."""
    git(tree, "init", "-q", "-b", "main", "--template=")
    git(tree, "add", "-A", "-f", ".")
    git(tree, "commit", "-q", "--allow-empty", "-m", "base", env=_WHO)


def import_paths(tree: Path) -> tuple[str, ...]:
    """Folders of the tree."""
    return tuple(name for name in ("src", "lib", ".") if (tree / name).is_dir())


def import_names(tree: Path, paths: Sequence[str] = ("src", "lib", ".")) -> tuple[str, ...]:
    """Of the packages and modules that the tree itself has in these folders."""
    names: list[str] = []
    for above in (tree / path for path in paths):
        for path in sorted(above.iterdir()) if above.is_dir() else ():
            if (path / "__init__.py").is_file():
                names.append(path.name)
            elif path.suffix == ".py" and path.stem not in ("setup", "conftest", "noxfile"):
                names.append(path.stem)
    return tuple(n for n in dict.fromkeys(names) if n not in ("tests", "test", "docs"))


def twins(site_paths: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Where these packages are installed, among the sites and the system's own."""
    system = [str(p) for p in Path("/usr/lib").glob("python3*/dist-packages")]
    system += [str(p) for p in Path("/usr/local/lib").glob("python3*/*-packages")]
    for site in dict.fromkeys((*site_paths, *system)):
        for name in names:
            for found in (*Path(site).glob(f"{name}.*"), Path(site, name)):
                if found.exists() and (found.is_dir() or found.suffix in (".py", ".so", ".pyc")):
                    yield os.path.realpath(found)
        for finder in Path(site).glob("__editable__*"):
            if any(name in finder.name for name in names):
                yield os.path.realpath(finder)
