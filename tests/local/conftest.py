"""Fixtures of the tests that judge for real."""

from collections.abc import Iterator

import pytest

from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier
from proofloop.sandbox import probe
from proofloop.verify import ProgramVerifier, build_verifier

_REPORTS = {report.tier: report for report in probe()}


@pytest.fixture(params=list(Tier), scope="module")
def verifier(request: pytest.FixtureRequest) -> Iterator[ProgramVerifier]:
    """One of each tier that this machine gives, with short limits."""
    report = _REPORTS[request.param]
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    with build_verifier(request.param, Limits(wall_s=6, cpu_s=1)) as built:
        yield built
