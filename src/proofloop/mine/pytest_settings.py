"""How a project configures pytest, and what of it holds where we run its tests."""

import configparser
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, cast

_KEPT_KEYS = {
    "markers", "filterwarnings", "python_files", "python_classes", "python_functions",
    "usefixtures", "xfail_strict", "asyncio_mode", "asyncio_default_fixture_loop_scope",
    "anyio_mode", "trio_mode", "empty_parameter_set_mark",
}  # fmt: skip
_CHOOSING = ("-m", "-k", "--deselect")
"""Of the arguments that a project adds, those that say which of its tests are meant to run."""
_IGNORING = ("--ignore", "--ignore-glob")


def pytest_settings(files: Mapping[str, bytes], project: Mapping[str, Any]) -> dict[str, str]:
    """As an ini file would have them, from where pytest would take them."""
    for path, section in (
        ("pytest.ini", "pytest"), (".pytest.ini", "pytest"), ("pyproject.toml", ""),
        ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest"),
    ):  # fmt: skip
        if path == "pyproject.toml":
            tool = project.get("tool", {}).get("pytest", {})
            options = cast("dict[str, Any]", tool.get("ini_options", tool))
            if options:
                return {key: _ini_value(key, value) for key, value in options.items()}
        elif path in files:
            parser = configparser.RawConfigParser()
            try:
                parser.read_string(files[path].decode(errors="replace"))
            except configparser.Error:
                continue
            if parser.has_section(section):
                return dict(parser.items(section))
    return {}


def _ini_value(key: str, value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    parts = [str(part) for part in cast("list[object]", value)]
    return shlex.join(parts) if key == "addopts" else "\n".join(parts)


def arguments(settings: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Of the arguments that the project adds, those that choose tests; and modules to ignore."""
    chosen: list[str] = []
    ignored: list[str] = []
    try:
        words = shlex.split(settings.get("addopts", ""))
    except ValueError:
        return [], []
    while words:
        name, is_joined, value = words.pop(0).partition("=")
        if name not in (*_CHOOSING, *_IGNORING) or not (is_joined or words):
            continue
        value = value if is_joined else words.pop(0)
        if name in _IGNORING:
            ignored.append(value.rstrip("/"))
        else:
            chosen += [name, value]
    return chosen, ignored


def ini_of(settings: Mapping[str, str], chosen: Sequence[str]) -> str:
    """Without whatever adds plugins, paths, or arguments that do not choose tests."""
    lines = ["[pytest]"]
    if chosen:
        lines.append(f"addopts = {shlex.join(chosen)}")
    for key, value in settings.items():
        if key in _KEPT_KEYS:
            lines.append(f"{key} =")
            lines += [f"    {line.strip()}" for line in value.splitlines() if line.strip()]
    return "\n".join(lines) + "\n"
