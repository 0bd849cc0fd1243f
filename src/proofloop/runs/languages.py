"""Languages that a recipe may name: those built in, with what `env.languages` says of them."""

import re
import shlex
from pathlib import Path

import msgspec

from proofloop.core.errors import ConfigError
from proofloop.core.language import BUILT_IN, FOLDER, Language
from proofloop.runs.config import suggestion
from proofloop.runs.recipe import EnvConfig, LanguageConfig


def languages_of(env: EnvConfig) -> dict[str, Language]:
    """By name.  Raises ConfigError for an entry that cannot be used."""
    languages = dict(BUILT_IN)
    for name, given in env.languages.items():
        languages[name] = _language(name, given, BUILT_IN.get(name))
    if env.language not in languages:
        hint = suggestion(env.language, languages)
        raise ConfigError(
            f"env.language: no language {env.language!r}{hint}; another one needs "
            f"[env.languages.{env.language}] with file and run"
        )
    return languages


def _language(name: str, given: LanguageConfig, known: Language | None) -> Language:
    key = f"env.languages.{name}"
    said = {k: v for k, v in msgspec.structs.asdict(given).items() if v is not None}
    for command in said.keys() & {"run", "compile"}:
        said[command] = _argv(f"{key}.{command}", said[command])
    if "run" in said:
        file = said.get("file") or (known.file if known else "")
        said["run"] = tuple(_in_folder(part, file) for part in said["run"])
    if "memory_mb" in said:
        said["memory_bytes"] = said.pop("memory_mb") * 1024**2
    if given.env is not None:
        said["env"] = tuple((k, _at_home(v)) for k, v in given.env.items())
    if "read" in said:
        said["read"] = tuple(map(_at_home, said["read"]))
    if known is not None:
        if "run" in said:
            said["is_forked"] = False
        language = msgspec.structs.replace(known, **said)
    else:
        for required in ("file", "run"):
            if required not in said:
                raise ConfigError(f"{key}.{required}: required of a language that is not built in")
        defaults = {"name": name, "title": name, "fences": (name.lower(),)}
        language = msgspec.convert(defaults | said, Language)
    if not re.fullmatch(r"[\w.+-]+", language.file) or language.file.startswith("."):
        raise ConfigError(f"{key}.file: {language.file!r} is not a plain file name")
    if not any(FOLDER in part for part in language.run):
        raise ConfigError(f"{key}.run: nothing in it says {FOLDER}, where the program is")
    for limit, least in (("compile_s", 1), ("num_processes", 1), ("memory_bytes", 1)):
        if (value := getattr(language, limit)) is not None and value < least:
            raise ConfigError(f"{key}: {limit} must be at least {least}, not {value}")
    return language


def _at_home(text: str) -> str:
    return str(Path(text).expanduser()) if text.startswith("~") else text


def _in_folder(part: str, file: str) -> str:
    """`./main` and `main.py` mean the program's own, wherever it is run."""
    if part == file:
        return f"{FOLDER}/{file}"
    return FOLDER + part.removeprefix(".") if part.startswith("./") else part


def _argv(key: str, command: tuple[str, ...] | str) -> tuple[str, ...]:
    try:
        argv = tuple(shlex.split(command)) if isinstance(command, str) else command
    except ValueError as error:
        raise ConfigError(f"{key}: {command!r} cannot be split into arguments ({error})") from None
    if not argv or not argv[0]:
        raise ConfigError(f"{key}: no program to run")
    return argv
