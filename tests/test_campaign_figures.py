"""What a campaign keeps and reports: lines, a file that it goes on from, a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.campaign import record
from tests.campaign.rig import Finding, Scenario, tried
from tests.campaign.scenarios import SCENARIOS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.campaign.rig import Rig


def violated(_rig: Rig, rounds: int, finding: Finding) -> None:
    """A recovery that misses its target, and another that meets it."""
    finding.rounds = rounds
    finding.recovered(6.0, 5)
    finding.recovered(4.0, 5)
    finding.figures = "much was measured"


def broken_down(_rig: Rig, _rounds: int, _finding: Finding) -> None:
    """A scenario that cannot go on."""
    raise AssertionError("the daemon has ended")


def test_a_missed_target_is_a_violation() -> None:
    """It is reported in the scenario's lines, with the worst recovery."""
    scenario = Scenario("7", "a fault", "recovery < 5 s", violated, 20, 2)
    kept = record.entry(scenario, tried(scenario, 20), 9.0)
    assert kept.line == (
        "  7  a fault: 20 rounds, 1 violations, worst recovery 6.0 s, much was measured (9 s)\n"
        "     ! recovery took 6.0 s, not 5 s"
    )
    cells = "7 | a fault | recovery < 5 s | 20 | 1 | 6.0 s | much was measured"
    assert kept.row == f"| {cells} |"


def test_what_a_scenario_raises_is_a_violation() -> None:
    """A campaign goes on after it."""
    scenario = Scenario("8", "a fault", "none", broken_down, 1, 1)
    assert tried(scenario, 1).violations == ["AssertionError: the daemon has ended"]


def test_what_is_kept_can_be_read_again(tmp_path: Path) -> None:
    """A campaign that was stopped goes on from its file; none is an empty one."""
    scenario = Scenario("7", "a fault", "recovery < 5 s", violated, 20, 2)
    kept = {"7": record.entry(scenario, tried(scenario, 20), 9.0)}
    record.save(tmp_path / "faults.json", kept, few=False)
    assert record.load(tmp_path / "faults.json") == kept
    assert record.load(tmp_path / "faults.json", few=False) == kept
    assert record.load(tmp_path / "faults.json", few=True) == {}
    assert record.load(tmp_path / "none.json") == {}
    assert len(record.table(kept).splitlines()) == 3


def test_each_number_is_there_once() -> None:
    """In their order, each with what it must show."""
    numbers = [scenario.number for scenario in SCENARIOS]
    assert len(set(numbers)) == len(numbers)
    wanted = {str(number) for number in range(1, 45)} - {"37"}
    assert wanted <= set(numbers)
    assert all(scenario.target and scenario.rounds >= scenario.few for scenario in SCENARIOS)
