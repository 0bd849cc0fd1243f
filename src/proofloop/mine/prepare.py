"""Making what a set's tasks share: read the repository, build its environment, take its baseline.

Either it comes to its end, and `set.json` says so, or nothing is left."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from proofloop.core.codec import from_msgpack, to_json, to_msgpack
from proofloop.core.errors import UserError
from proofloop.envs.mined_set import (
    INFO,
    REPO,
    SCHEMA,
    SUITE,
    MinedSet,
    SetInfo,
    SetModule,
    in_ranges,
)
from proofloop.mine.baseline import Baseline, take_baseline
from proofloop.mine.benches import Benches
from proofloop.mine.config import MineConfig
from proofloop.mine.environment import adopt, build, write_tree
from proofloop.mine.repository import Repository, read_repository
from proofloop.mine.runner import Setting
from proofloop.mine.trial import Ground
from proofloop.mine.writer import MARK, clear_for, remove, write_image, write_shared
from proofloop.store.files import write_atomic
from proofloop.verify.projects.tree import digest_of

ENVIRONMENT, WORK = "environment", "mining"
_BASELINE = "baseline.msgpack"

Say = Callable[[str], None]


def prepare(
    root: Path, out: Path, config: MineConfig, python: str, benches: Benches, say: Say
) -> tuple[Repository, MinedSet, Baseline]:
    """A set that is there already is taken up.  Raises UserError."""
    repository = read_repository(root, config.tests, config.leave_out)
    if (out / INFO).exists():
        return _taken_up(repository, out, config)
    was_there = out.exists()
    clear_for(out)
    try:
        _make(repository, out, config, python, benches, say)
    except BaseException:
        for path in out.iterdir():
            remove(path)
        if not was_there:
            out.rmdir()
        raise
    (out / MARK).unlink()
    return _taken_up(repository, out, config)


def _make(
    repository: Repository, out: Path, config: MineConfig, python: str, benches: Benches, say: Say
) -> None:
    folder = (out / ENVIRONMENT).resolve()
    say(f"{repository.name}: {len(repository.modules)} test modules; installing what it needs")
    if python:
        installed = adopt(repository, folder, python)
    else:
        installed = build(repository, folder, config.extra, "")
    for note in installed.notes:
        say(note)
    write_shared(out, repository, installed.generated)
    files = {**repository.files, **installed.generated}
    write_tree(out / WORK / "tree", files, repository.executables)
    setting = Setting(
        tree=str((out / WORK / "tree").resolve()),
        python=str(installed.python),
        plugins=installed.plugins,
        import_paths=repository.import_paths,
        ini=repository.ini,
    )
    say("running its tests as they are, two or three times")
    baseline = take_baseline(
        benches, setting, repository.modules, repository.sources, repository.packages, config
    )
    for note in baseline.notes:
        say(note)
    info = _info(repository, out, config, setting, baseline)
    write_image(out, info, installed.python)
    write_atomic(out / WORK / _BASELINE, to_msgpack(baseline))
    write_atomic(out / INFO, to_json(info))


def _info(
    repository: Repository, out: Path, config: MineConfig, setting: Setting, baseline: Baseline
) -> SetInfo:
    modules: list[SetModule] = []
    at = 0
    for module in baseline.modules:
        names = tuple(test.node_id.partition("::")[2] for test in module.tests)
        loose = in_ranges(at + n for n, test in enumerate(module.tests) if test.is_loose)
        at += len(names)
        modules.append(
            SetModule(
                path=module.path,
                names=names,
                seconds=tuple(test.seconds for test in module.tests),
                loose=loose,
                files=module.files,
                helpers=module.helpers,
            )
        )
    return SetInfo(
        schema=SCHEMA,
        name=repository.name,
        commit=repository.commit,
        digest=digest_of(out / REPO),
        allowed=repository.allowed,
        import_paths=repository.import_paths,
        plugins=setting.plugins,
        preload=baseline.preload,
        python=_from_set(out, setting.python),
        seed=config.seed,
        modules=tuple(modules),
        config=_settings(config),
    )


def _from_set(out: Path, python: str) -> str:
    """So that a set may be moved, where its environment is its own."""
    folder = out.resolve()
    return str(Path(python).relative_to(folder)) if python.startswith(f"{folder}/") else python


_FIXED = ("seed", "tests", "leave_out")
"""Settings that a set keeps."""


def _settings(config: MineConfig) -> dict[str, object]:
    return {name: json.loads(to_json(getattr(config, name))) for name in _FIXED}


def _taken_up(
    repository: Repository, out: Path, config: MineConfig
) -> tuple[Repository, MinedSet, Baseline]:
    mined = MinedSet(out)
    for name, value in _settings(config).items():
        if mined.info.config[name] != value:
            raise UserError(
                f"{out}: was begun with mine.{name} = {mined.info.config[name]!r}; go on with "
                "that, or name another directory"
            )
    for path in (*repository.sources, *repository.modules):
        folder = SUITE if path in repository.modules else REPO
        place = out / folder / path
        if not place.is_file() or place.read_bytes() != repository.files[path]:
            raise UserError(
                f"{out}: was begun with another state of {repository.root} ({path} differs); "
                "name another directory"
            )
    try:
        baseline = from_msgpack((out / WORK / _BASELINE).read_bytes(), Baseline)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{out}: its baseline cannot be read ({error}); begin anew") from error
    return repository, mined, baseline


def ground_of(
    repository: Repository, mined: MinedSet, baseline: Baseline, config: MineConfig
) -> tuple[Setting, Ground]:
    """What trials stand on, with a tree of their own that is made anew."""
    tree = mined.folder / WORK / "tree"
    if not tree.is_dir():
        half = tree.with_name("tree.half")
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(mined.folder / REPO, half)
        shutil.copytree(mined.folder / SUITE, half, dirs_exist_ok=True)
        half.rename(tree)
    setting = Setting(
        tree=str(tree.resolve()),
        python=mined.python,
        plugins=mined.info.plugins,
        import_paths=mined.info.import_paths,
        ini=repository.ini,
        preload=mined.info.preload,
    )
    return setting, Ground(files=repository.files, baseline=baseline, config=config)
