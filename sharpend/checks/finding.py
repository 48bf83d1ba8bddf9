"""Findings of a check: level, text, and advice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sharpend.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORST_FIRST = (
    ExitCode.CONFIGURATION,
    ExitCode.INPUT_MISSING,
    ExitCode.UNAVAILABLE,
    ExitCode.OUTPUT_FAILED,
)


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    NOTE = "note"
    """It works, and not as well as it could; or it could not be looked at."""
    FAULT = "fault"
    """The daemon would not start, or not do all that the settings ask for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    level: Level
    subject: str
    found: str
    change: str = ""
    """Advice; empty if nothing need be done."""
    status: ExitCode = ExitCode.OK
    """Exit status of the command if this is a fault."""


def ok(subject: str, found: str) -> Finding:
    """Make a finding without fault."""
    return Finding(Level.OK, subject, found)


def note(subject: str, found: str, change: str = "") -> Finding:
    """Make a finding that is worth knowing."""
    return Finding(Level.NOTE, subject, found, change)


def fault(subject: str, found: str, change: str, status: ExitCode) -> Finding:
    """Make a finding that must be fixed."""
    return Finding(Level.FAULT, subject, found, change, status)


def exit_code(findings: Iterable[Finding]) -> ExitCode:
    """Choose the exit status for these findings: settings first, for they are fixed first."""
    faults = {finding.status for finding in findings if finding.level is Level.FAULT}
    return next((status for status in _WORST_FIRST if status in faults), ExitCode.OK)
