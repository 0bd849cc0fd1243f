"""Fixtures of the tests that judge for real."""

from collections.abc import Iterator

import pytest

from proofloop.core.project import ProjectTests
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier
from proofloop.sandbox import probe
from proofloop.verify import ProgramVerifier, build_verifier

_REPORTS = {report.tier: report for report in probe()}


# The outer shells run the same server; all of it within them is for the long form.
_TIERS = [
    pytest.param(tier, marks=pytest.mark.slow if tier.rank > Tier.T1.rank else ()) for tier in Tier
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A project's suite takes half a second of processor time, on every tier in the same way."""
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        card = params.get("card")
        if params.get("tier") is Tier.T0 and card and isinstance(card.tests, ProjectTests):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(params=_TIERS, scope="module")
def tier(request: pytest.FixtureRequest) -> Tier:
    """Each that this machine gives."""
    report = _REPORTS[request.param]
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    return report.tier


@pytest.fixture(scope="module")
def verifier(tier: Tier) -> Iterator[ProgramVerifier]:
    """With short limits."""
    with build_verifier(tier, Limits(wall_s=6, cpu_s=1)) as built:
        yield built
