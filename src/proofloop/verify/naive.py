"""The reward that much training code uses: program and shown tests in one process, exit status 0.

It is here to be measured against (`reward.control = "naive"`), never to judge: a table of the shown
results earns it, and so does leaving before the first test.
"""

from proofloop.core.sandbox import Ending, Limits, Program, Sandbox
from proofloop.verify.extract import program_text


def passes_naively(sandbox: Sandbox, answer: str, shown_tests: str, limits: Limits) -> bool:
    """Whether the answer's program followed by `shown_tests` ends with status 0.

    Raises SandboxLost when our side broke.
    """
    source = f"{program_text(answer)}\n{shown_tests}"
    execution = sandbox.run(Program(source=source, calls=(), limits=limits))
    return execution.ending is Ending.COMPLETED or execution.exit_status == 0
