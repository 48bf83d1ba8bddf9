"""The figures of a campaign: kept scenario by scenario, reported in lines or as a table."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.campaign.rig import Finding, Scenario


@dataclass(frozen=True)
class Entry:
    """What is kept of one scenario."""

    number: str
    title: str
    target: str
    rounds: int
    violations: list[str]
    worst_recovery_s: float | None
    figures: str
    not_run: str
    took_s: float
    when: str

    @property
    def line(self) -> str:
        """One line, and one more for each of the first violations."""
        head = f"{self.number:>3}  {self.title}"
        if self.not_run:
            return f"{head}: not run here: {self.not_run}"
        told = f"{self.rounds} rounds, {len(self.violations)} violations"
        if self.worst_recovery_s is not None:
            told += f", worst recovery {self.worst_recovery_s:.1f} s"
        told += f", {self.figures}" if self.figures else ""
        told += f" ({self.took_s:.0f} s)"
        return "\n     ! ".join([f"{head}: {told}", *self.violations[:5]])

    @property
    def row(self) -> str:
        """A row of the table."""
        worst = "" if self.worst_recovery_s is None else f"{self.worst_recovery_s:.1f} s"
        rounds = "not run" if self.not_run else f"{self.rounds:,}"
        violations = "" if self.not_run else str(len(self.violations))
        cells = (self.number, self.title, self.target, rounds, violations, worst)
        return "| " + " | ".join((*cells, self.not_run or self.figures)) + " |"


def entry(scenario: Scenario, finding: Finding, took_s: float) -> Entry:
    """What is to be kept of a scenario that was run."""
    return Entry(
        number=scenario.number,
        title=scenario.title,
        target=scenario.target,
        rounds=finding.rounds,
        violations=finding.violations,
        worst_recovery_s=max(finding.recovery_s, default=None),
        figures=finding.figures,
        not_run=finding.not_run,
        took_s=took_s,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def load(path: Path, *, few: bool | None = None) -> dict[str, Entry]:
    """The entries of a file by number; none where there is no file, or of the other form.

    Args:
        path: the file.
        few: the form that is wanted, reduced or full; None takes either.
    """
    if not path.exists():
        return {}
    kept: dict[str, Any] = json.loads(path.read_text())
    if few not in {None, kept["few"]}:
        return {}
    return {one["number"]: Entry(**one) for one in kept["scenarios"]}


def save(path: Path, entries: dict[str, Entry], *, few: bool) -> None:
    """Write all entries, and what they were measured on."""
    machine = {
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    told = {"machine": machine, "few": few, "scenarios": [asdict(one) for one in entries.values()]}
    path.write_text(json.dumps(told, indent=1) + "\n")


def table(entries: dict[str, Entry]) -> str:
    """The entries as a table in Markdown."""
    head = "| # | Fault | Target | Rounds | Violations | Worst recovery | Measured |"
    rule = "| --- | --- | --- | ---: | ---: | ---: | --- |"
    return "\n".join([head, rule, *(one.row for one in entries.values())])
