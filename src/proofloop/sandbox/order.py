"""What a keeper is told of one command.  Standard library only; see `keeper`."""

from typing import NamedTuple


class Order(NamedTuple):
    """A `core.sandbox.Command` with its policy and limits, flat, as it crosses to the keeper."""

    argv: list[str]
    env: list[list[str]]
    folder: str
    with_report: bool
    read: list[str]
    write: list[str]
    hidden: list[str]
    execute: bool
    network: bool
    cpu_s: int
    memory_bytes: int
    num_processes: int
    num_open_files: int
    file_bytes: int
