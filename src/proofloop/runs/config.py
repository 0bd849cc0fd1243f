"""Recipes from TOML and `--set a.b=value` into strict records, and back to TOML.

Nothing here knows what a recipe means (`runs.checks`).  The invariant: whatever does not fit fails
here, before anything runs, with the key's full path and the file or flag that it came from.
"""

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, EnumType
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, TypeVar, cast, get_args

import msgspec

from proofloop.core.errors import ConfigError, RunError
from proofloop.core.record import Record
from proofloop.train.algorithms import ALGORITHMS

R = TypeVar("R", bound=Record)

RENAMED: Mapping[str, str] = {}
"""Old key -> new key.  An old key fails and names the new one; there are no aliases."""

RENAMED_VALUES: Mapping[tuple[str, str], str] = {
    ("train.loss", "clip_higher"): "clip",
}
"""(Key, old value) -> new value, as above."""

PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {"train.algorithm": ALGORITHMS}
"""Key -> its values -> what they set in the key's section, below all that is written out."""

CONFIG_NAME = "config.toml"


class _Setting(NamedTuple):
    """One key's value as it was written, and where."""

    path: str
    value: Any
    origin: str
    text: str | None = None
    """What a flag said literally: a value that is no string may still be meant as one."""


def load_config(
    kind: type[R],
    source: str | None = None,
    overrides: Sequence[str] = (),
    *,
    renamed: Mapping[str, str] = RENAMED,
) -> R:
    """The recipe in `source` (a TOML file or the name of a shipped one; None: the defaults of
    `kind`) with `overrides` ("a.b=value", later ones win).  Raises ConfigError."""
    settings = [] if source is None else _read(kind, source)
    settings += [_parse_override(kind, override) for override in overrides]
    tables: dict[str, Any] = {}
    for setting in (*_preset(settings), *settings):
        _check_name(setting, renamed)
        *parents, key = setting.path.split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
        table[key] = _fitted(kind, setting)
    return msgspec.convert(tables, kind)


def _preset(settings: Sequence[_Setting]) -> list[_Setting]:
    """What the presets that are named, the last one of each key, set."""
    named = {s.path: s for s in settings if s.path in PRESETS}
    return [
        _Setting(f"{path.rsplit('.', 1)[0]}.{key}", value, f"{path} = {setting.value}")
        for path, setting in named.items()
        for key, value in PRESETS[path].get(str(setting.value), {}).items()
    ]


def _check_name(setting: _Setting, renamed: Mapping[str, str]) -> None:
    path, origin = setting.path, setting.origin
    if path in renamed:
        raise ConfigError(f"{path} (in {origin}) is now called {renamed[path]}")
    if new := RENAMED_VALUES.get((path, str(setting.value))):
        raise ConfigError(f"{path}: {setting.value} (in {origin}) is now called {new}")


def load_run_config(kind: type[R], run: Path) -> R:
    """The resolved recipe of a run directory.  Raises RunError where there is none."""
    path = run / CONFIG_NAME
    if not path.is_file():
        raise RunError(f"{run}: not a run directory (no {CONFIG_NAME}); check the path")
    try:
        return load_config(kind, str(path))
    except ConfigError as error:
        raise RunError(f"{run}: damaged, or of another version of Proofloop: {error}") from error


def shipped_recipes() -> dict[str, Path]:
    """Recipes in the package, by name."""
    folder = Path(str(resources.files("proofloop.runs") / "recipes"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def dump_toml(recipe: Record) -> str:
    """A recipe as TOML that loads back equal.  None has no place in TOML: such a key is left out,
    so its default must be None."""
    lines: list[str] = []
    for section, record in msgspec.structs.asdict(recipe).items():
        lines.append(f"[{section}]")
        for field in msgspec.structs.fields(record):
            value = getattr(record, field.name)
            if value is None:
                assert field.default is None, f"{section}.{field.name} cannot be written as None"
                continue
            lines.append(f"{field.name} = {_toml(value)}")
        lines.append("")
    return "\n".join(lines)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the choices where nothing is close."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _read(kind: type[Record], source: str) -> list[_Setting]:
    path = Path(source)
    shipped = shipped_recipes()
    if not path.is_file():
        if source not in shipped:
            what = "is a directory" if path.is_dir() else "no such file"
            hint = suggestion(source, shipped)
            raise ConfigError(f"recipe {source!r}: {what}, and no shipped recipe's name{hint}")
        path = shipped[source]
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    settings: list[_Setting] = []
    _flatten(kind, tables, "", str(path), settings.append)
    return settings


def _flatten(
    kind: type[Record],
    table: Mapping[str, Any],
    prefix: str,
    origin: str,
    keep: Callable[[_Setting], None],
) -> None:
    known = _types(kind)
    for key, value in table.items():
        inner = known.get(key)
        section = inner if _is_record(inner) else Record if inner is None and value else None
        if section is not None and isinstance(value, dict):
            _flatten(section, cast("dict[str, Any]", value), f"{prefix}{key}.", origin, keep)
        else:
            keep(_Setting(f"{prefix}{key}", value, origin))


def _parse_override(kind: type[Record], override: str) -> _Setting:
    path, equals, text = override.partition("=")
    path, text = path.strip(), text.strip()
    if not equals or not path:
        raise ConfigError(f"--set {override}: expected key=value, for example train.num_steps=50")
    try:
        value = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except tomllib.TOMLDecodeError:
        value = text
    if text == "none":
        value = None
    return _Setting(path, value, f"--set {override}", text)


def _fitted(kind: type[Record], setting: _Setting) -> Any:
    """The value as its field's type; raises ConfigError."""
    type_ = _field_type(kind, setting)
    candidates = [setting.value] if setting.text is None else [setting.value, setting.text]
    problem = ""
    for value in candidates:
        try:
            return msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            problem = problem or str(error)
    what = problem.replace("`", "").replace(" - at $", ", at ").replace("Expected", "expected")
    choices = _choices(type_)
    hint = f"; known: {', '.join(choices)}" if choices else ""
    raise ConfigError(f"{setting.path}: {what} (in {setting.origin}){hint}")


def _choices(type_: Any) -> list[str]:
    """Where the value is one of some words, or none."""
    kinds = [kind for kind in (type_, *get_args(type_)) if isinstance(kind, EnumType)]
    return [str(one.value) for kind in kinds for one in cast("Iterable[Enum]", kind)]


def _field_type(kind: type[Record], setting: _Setting) -> Any:
    """The type that the path leads to; raises ConfigError for a key that nobody knows."""
    type_: Any = kind
    parts = setting.path.split(".")
    for depth, part in enumerate(parts):
        known = _types(type_) if _is_record(type_) else {}
        if part not in known:
            raise ConfigError(_unknown(kind, setting, parts[:depth], part, known))
        type_ = known[part]
    if _is_record(type_):
        keys = ", ".join(f"{setting.path}.{key}" for key in _types(type_))
        raise ConfigError(
            f"{setting.path} is a section, not a value (in {setting.origin}); its keys: {keys}"
        )
    return type_


def _unknown(
    kind: type[Record],
    setting: _Setting,
    parents: Sequence[str],
    part: str,
    known: Mapping[str, Any],
) -> str:
    """Suggests a neighbour's name, else the same name in another section."""
    where = f"unknown key {setting.path!r} in {setting.origin}"
    prefix = "".join(f"{parent}." for parent in parents)
    everywhere = [path for path, _, _ in keys_of(kind)]
    leaf = setting.path.rsplit(".", 1)[-1]
    near = difflib.get_close_matches(part, list(known), n=1, cutoff=0.6)
    if near:
        # A misspelt section whose key is right: the whole path is the better advice.
        path = f"{prefix}{near[0]}"
        path = f"{path}.{leaf}" if f"{path}.{leaf}" in everywhere else path
        return f"{where}; did you mean {path!r}?"
    alike = [path for path in everywhere if path.endswith(f".{leaf}")]
    if alike:
        return f"{where}; did you mean {alike[0]!r}?"
    if known:
        return f"{where}; known here: {', '.join(prefix + key for key in known)}"
    return where + suggestion(setting.path, everywhere)


def keys_of(kind: type[Record], prefix: str = "") -> list[tuple[str, type[Record], str]]:
    """Every key's full path, the record that holds it, and its name there."""
    keys: list[tuple[str, type[Record], str]] = []
    for name, type_ in _types(kind).items():
        if _is_record(type_):
            keys += keys_of(type_, f"{prefix}{name}.")
        else:
            keys.append((f"{prefix}{name}", kind, name))
    return keys


def _types(kind: type[Record]) -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(kind)}


def _is_record(type_: Any) -> TypeGuard[type[Record]]:
    return isinstance(type_, type) and issubclass(type_, Record)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):  # enumerations are strings, too
        # A JSON string is a TOML basic string, once DEL is escaped as well.
        return msgspec.json.encode(str(value)).decode().replace("\x7f", "\\u007f")
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(v) for v in cast('tuple[Any, ...]', value))}]"
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        pairs = [f"{_toml(key)} = {_toml(v)}" for key, v in items if v is not None]
        return f"{{{', '.join(pairs)}}}"
    assert isinstance(value, int | float), f"no TOML for {type(value).__name__}"
    return repr(value)
