"""Task sets of other makers, in the formats that mined sets are written in: read, so that what is
wrong with them or missing here is told with its file; not run, for they are judged in containers.
"""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from proofloop.core.errors import DataError

_SCHEMAS = ("1.0", "1.1", "1.2", "1.3", "1.4")
_PLACES = ("environment/Dockerfile", "environment/docker-compose.yaml")


class HarborTask(NamedTuple):
    """A Harbor task as it lies there."""

    name: str
    instruction: str
    place: str
    """What its tests run in: a file of the task, or an image's name."""


def read_harbor_task(folder: Path) -> HarborTask:
    """Raises DataError for what is no whole task of schema 1.0 to 1.4 with one step."""
    path = folder / "task.toml"
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(path, None, f"cannot be read ({error})") from error
    schema = str(table.get("schema_version", table.get("version", "1.0")))
    if schema not in _SCHEMAS:
        raise DataError(path, None, f"schema {schema}; read are {_SCHEMAS[0]} to {_SCHEMAS[-1]}")
    if table.get("steps"):
        raise DataError(path, None, "a task of several steps, which is not read; split it")
    for name in ("instruction.md", "tests/test.sh"):
        if not (folder / name).is_file():
            raise DataError(folder / name, None, "no such file, which a Harbor task must have")
    image = str(table.get("environment", {}).get("docker_image", ""))
    place = next((name for name in _PLACES if (folder / name).is_file()), image)
    if not place:
        raise DataError(folder / _PLACES[0], None, "no such file, and task.toml names no image")
    name = str(table.get("task", {}).get("name", folder.name))
    return HarborTask(name, (folder / "instruction.md").read_text(errors="replace"), place)


def harbor_folders(folder: Path) -> list[Path]:
    """A task's own directory, or those of a set."""
    if (folder / "task.toml").is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob("*/task.toml"))


def no_set(folder: Path) -> DataError:
    """Why a directory is no mined set: what it is, and what to do."""
    if not folder.is_dir():
        return DataError(folder, None, "no such directory; check the path")
    folders = harbor_folders(folder)
    if not folders:
        return DataError(
            folder, None, "no set.json: not a set of tasks made by `proofloop mine`; of SWE-bench "
            "rows of other makers tasks are made by `proofloop mine CHECKOUT --set mine.rows=FILE`"
        )  # fmt: skip
    try:
        tasks = [read_harbor_task(path) for path in folders]
    except DataError as error:
        return error
    first = tasks[0]
    return DataError(
        folders[0] / "tests/test.sh", None,
        f"judges {first.name} in a container ({first.place}), and none is started here; "
        f"{len(tasks)} Harbor tasks of another maker were read and are whole: run them with a "
        "Harbor harness, or make tasks of their repository with `proofloop mine`",
    )  # fmt: skip
