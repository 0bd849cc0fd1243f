"""What judged an answer, in a word or two, so that figures of different judges are not compared."""

import proofloop
from proofloop.core.task import Tests


def verifier_name(tests: Tests) -> str:
    """The kind of tests and the version of Proofloop that judges by them: `call_tests 0.1.0`."""
    return f"{type(tests).__struct_config__.tag} {proofloop.__version__}"
