"""State checks: configuration file, state directory, running daemon.

Judges the state directory, the configuration file and the last status of a daemon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sharpend.checks.finding import Finding, fault, note, ok
from sharpend.daemon.status import AT_WORK
from sharpend.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sharpend.checks.path_access import PathAccess
    from sharpend.checks.runner import Runner

LITTLE_BYTES = 50_000_000
_OTHERS = 0o007
_SILENT_REPORTS = 3
"""A daemon that missed this many reports in a row does not get to them."""


def configuration(sight: PathAccess | None, runner: Runner) -> Finding:
    """Check who may read and write the configuration file."""
    subject = "configuration"
    if sight is None:
        return note(subject, "no file: environment, command line and defaults only")
    if sight.anyone_may_write:
        change = f"chmod o-w {sight.path}"
        what = f"{sight.path}: writable by everyone, who can thereby have files deleted"
        return fault(subject, what, change, ExitCode.CONFIGURATION)
    if not sight.readable:
        what = f"{sight.path} cannot be read by {runner.name}"
        return fault(subject, what, f"let {runner.name} read it", ExitCode.CONFIGURATION)
    return ok(subject, f"{sight.path}: valid, no two folders overlap")


def directory(sight: PathAccess, runner: Runner, *, made_by_unit: bool) -> Iterator[Finding]:
    """Check that the state directory is usable and private."""
    subject, path, who = "state", sight.path, runner.name
    if not sight.is_folder:
        yield fault(subject, f"{path} is not a folder", "change state", ExitCode.OUTPUT_FAILED)
        return
    if made_by_unit and not sight.exists:
        yield ok(subject, f"{path}: does not exist yet, the unit creates it")
    elif not sight.writable:
        what = "cannot be written" if sight.exists else "cannot be created"
        change = f"let {who} write there, or change state"
        yield fault(subject, f"{path} {what} by {who}", change, ExitCode.OUTPUT_FAILED)
    elif sight.exists and sight.anyone_may_write:
        what = f"{path}: writable by everyone, the ledger included"
        yield fault(subject, what, f"chmod 0750 {path}", ExitCode.CONFIGURATION)
    elif sight.exists and sight.mode & _OTHERS:
        what = f"{path}: readable by everyone, names of quarantined files included"
        yield note(subject, what, f"chmod 0750 {path}")
    else:
        what = f"mode {sight.mode:04o}" if sight.exists else "does not exist yet, will be created"
        yield ok(subject, f"{path}: {what}, writable by {who}")
    text = f"{path}: {sight.free_bytes / 1e9:.1f} GB free"
    if sight.free_bytes < LITTLE_BYTES:
        change = "free space: without it all work stops"
        yield fault("state: space", text, change, ExitCode.OUTPUT_FAILED)
    else:
        yield ok("state: space", text)


def daemon(
    last: Mapping[str, Any] | None, *, is_running: bool, now_s: float, every_s: float
) -> Finding:
    """Check whether a daemon runs with this state directory, and its last status.

    Args:
        last: its status file.
        is_running: a process holds the ledger's lock.
        now_s: wall clock.
        every_s: seconds between two reports.
    """
    subject = "daemon"
    if not is_running:
        return ok(subject, "not running with this state directory")
    if last is None or last.get("state") not in AT_WORK:
        return note(subject, "running, not ready yet")
    silent_s = now_s - last["at"]
    text = f"process {last['pid']} of version {last['version']}"
    if last.get("state_fault"):
        what = f"{text}: all work is paused: {last['state_fault']}"
        return fault(subject, what, "free space, or check the disk", ExitCode.OUTPUT_FAILED)
    if silent_s > _SILENT_REPORTS * every_s:
        change = "see its log; restart it"
        what = f"{text} has not reported for {silent_s:.0f} s"
        return fault(subject, what, change, ExitCode.UNAVAILABLE)
    if last["health"] != "ok":
        paused = "; ".join(f"{name}: {why}" for name, why in last["paused"].items())
        why = paused or "agreement with the teacher is low"
        return note(subject, f"{text}: health {last['health']}", why)
    return ok(subject, f"{text}: health ok, {last['queue_depth']} waiting")
