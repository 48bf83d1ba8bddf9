"""The fault campaign in its reduced form: a few rounds of each fault, and no violation."""

from __future__ import annotations

import pytest

from tests.campaign.rig import Scenario, tried
from tests.campaign.scenarios import SCENARIOS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


IN_CI = [scenario for scenario in SCENARIOS if scenario.in_ci]


@pytest.mark.parametrize("scenario", IN_CI, ids=[each.title for each in IN_CI])
def test_a_few_rounds(scenario: Scenario) -> None:
    """The fault is survived."""
    finding = tried(scenario, scenario.few, slack=10)
    if finding.not_run:
        pytest.skip(finding.not_run)
    assert finding.violations == []
    assert finding.rounds > 0
