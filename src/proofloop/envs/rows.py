"""Rows of JSON Lines files, plain or gzipped.  A row that does not fit is an error with file and
line; none is ever skipped."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec

from proofloop.core.errors import DataError

S = TypeVar("S", bound=msgspec.Struct)


class Line(NamedTuple):
    """One line of a file, numbered from 1."""

    number: int
    data: bytes


def read_lines(path: Path) -> Iterator[Line]:
    """Raises DataError where the file is missing, unreadable, or a damaged gzip file."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            # gzip's own stub says nothing of the type of its lines
            for number, data in enumerate(cast("Iterator[bytes]", file), start=1):
                yield Line(number, data)
    except FileNotFoundError:
        raise DataError(path, None, "no such file; check the path") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(path, None, f"a damaged gzip file ({error})") from error
    except OSError as error:
        raise DataError(path, None, f"cannot be read ({error.strerror or error})") from error


def read_rows(path: Path, type_: type[S]) -> list[S]:
    """One record a line.  Raises DataError (file, line, what is wrong)."""
    return [decode_row(path, line, type_) for line in read_lines(path)]


def decode_row(path: Path, line: Line, type_: type[S]) -> S:
    try:
        return msgspec.json.decode(line.data, type=type_)
    except msgspec.ValidationError as error:
        problem = str(error).replace("`", "").replace(" - at $.", ", at ")
        raise DataError(path, line.number, f"{problem}; {_needs(type_)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what = "an empty line" if not line.data.strip() else f"not valid JSON ({error})"
        raise DataError(path, line.number, f"{what}; {_needs(type_)}") from error


def _needs(type_: type[Any]) -> str:
    names = ", ".join(field.encode_name for field in msgspec.structs.fields(type_))
    return f"each line is a JSON object with {names}"
