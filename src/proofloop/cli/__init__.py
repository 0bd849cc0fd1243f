"""The command line: one file a verb, bound when it is used.  Verbs parse, call `runs`, print."""

from proofloop.cli.app import main

__all__ = ["main"]
