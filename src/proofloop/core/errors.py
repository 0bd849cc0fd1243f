"""Everything that Proofloop raises on purpose.

    ProofloopError
    ├── UserError               the user can mend it; one line, exit code 2
    │   ├── ConfigError         a recipe, a flag or a `--set` value
    │   ├── DataError           a row of a data file: file, line, what is wrong
    │   ├── RunError            a run directory: missing, damaged, not resumable
    │   ├── ModelError          a checkpoint directory: missing, damaged, unsupported
    │   ├── IsolationError      this machine cannot give the isolation tier that was asked for
    │   └── MissingProgram      a compiler or interpreter that judging needs is not there
    └── WorldError              the world failed us; says nothing about any model's answer
        ├── SandboxLost         a sandbox or its fork-server died or stopped answering
        ├── WorkerLost          a worker process died
        ├── EngineLost          a server that samples does not answer
        ├── StoreDamaged        bytes on disk do not match their checksum
        └── TrainingHalted      an alarm stopped the run (non-finite loss, sampler/trainer mismatch)

A message says what, where, likely why, and the next step.  A candidate program's own failures are
never exceptions: they are results (`core.sandbox.Execution`) and end as `Scored` verdicts.
"""


class ProofloopError(Exception):
    """Root of the tree."""


class UserError(ProofloopError, ValueError):
    """The user can mend it."""


class ConfigError(UserError):
    """A recipe, a flag or a `--set` value is wrong."""


class DataError(UserError):
    """A data file cannot be used as it stands."""

    def __init__(self, path: object, line: int | None, problem: str) -> None:
        where = f"{path}" if line is None else f"{path}, line {line}"
        super().__init__(f"{where}: {problem}")


class RunError(UserError):
    """A run directory is missing, damaged or cannot be resumed."""


class ModelError(UserError):
    """A checkpoint directory is missing, damaged or not supported."""


class IsolationError(UserError):
    """This machine cannot give the isolation tier that was asked for."""


class MissingProgram(UserError):
    """A compiler or interpreter that judging needs is not there, or does not work."""


class WorldError(ProofloopError, RuntimeError):
    """The world failed us."""


class SandboxLost(WorldError):
    """A sandbox died or stopped answering."""


class WorkerLost(WorldError):
    """A worker process died."""


class EngineLost(WorldError):
    """A server that samples does not answer."""


class StoreDamaged(WorldError):
    """Stored bytes do not match their checksum."""


class TrainingHalted(WorldError):
    """An alarm stopped the run."""
