"""`sharpend status`: show daemon and queue status."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from sharpend.agreement.summary import describe_ratio, summary_lines
from sharpend.checks.finding import Level
from sharpend.checks.state import daemon as check_daemon
from sharpend.commands.listing import local_time
from sharpend.commands.overrides import settings_of, used_state_of
from sharpend.daemon.intended_pauses import BY_OPERATOR
from sharpend.daemon.status import read_status
from sharpend.errors import ExitCode
from sharpend.intake.tally import left_alone_text
from sharpend.ledger.opening import is_locked
from sharpend.ledger.reader import LedgerReader
from sharpend.logs.plain import plain, printable
from sharpend.model.softness import word_for

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


LEFT_AT_START = "images are skipped: they existed at the first start (only_new)"


def main(options: argparse.Namespace) -> int:
    """Print the daemon's last status, and the ledger's current counts.

    Returns:
        0; with --check 1 unless the daemon is healthy, and 69 where none runs.

    Raises:
        InputMissingError: no daemon has used this state directory.
        StateFaultError: it belongs to another user.
    """
    state_dir = used_state_of(options)
    if options.check:
        return _check(state_dir, settings_of(options).report.every_s)
    with LedgerReader.read_only(state_dir) as ledger:
        counts = {state.value: jobs for state, jobs in ledger.counts().items()}
        names = [name for name, _ in ledger.folders()]
        oldest_at = ledger.oldest_pending_at(names)
        pauses = ledger.pauses()
        at_start = {name: files for name in names if (files := ledger.skipped(name))}
    status = {
        "running": is_locked(state_dir),
        "counts": counts,
        "oldest_pending_s": None if oldest_at is None else max(0.0, time.time() - oldest_at),
        "seen": at_start,
        "pauses": pauses,
        "last": read_status(state_dir),
    }
    print(json.dumps(plain(status)) if options.json else _text(status))
    return 0


def _check(state_dir: Path, every_s: float) -> int:
    """Print whether a daemon runs and is healthy; return the exit status of a health check."""
    last, is_running = read_status(state_dir), is_locked(state_dir)
    found = check_daemon(last, is_running=is_running, now_s=time.time(), every_s=every_s)
    print(printable(f"{found.found}{f': {found.change}' if found.change else ''}"))
    if not is_running:
        return ExitCode.UNAVAILABLE
    return ExitCode.OK if found.level is Level.OK else ExitCode.UNHEALTHY


def _text(status: dict[str, Any]) -> str:
    """Format the status for people."""
    last, counts = status["last"] or {}, status["counts"]
    waiting = sum(counts[state] for state in ("pending", "running", "staged", "deferred"))
    at = f" (last report {local_time(last['at'])})" if "at" in last else ""
    lines = [
        ("running" if status["running"] else "not running") + at,
        f"waiting {waiting}, done {counts['done'] + counts['disposed']}, "
        f"quarantined {counts['quarantined']}, vanished {counts['vanished']}",
    ]
    if status["oldest_pending_s"] is not None:
        lines.append(f"oldest waiting for {status['oldest_pending_s']:.0f} s")
    lines += [f"{name}: {files} {LEFT_AT_START}" for name, files in status["seen"].items()]
    if "images_per_s" in last:
        lines.append(
            f"last report: {last['images_per_s']:.2f} images/s, "
            f"{last['megapixels_per_s']:.2f} megapixels/s, model {last['model']} on "
            f"{last['device']}, health {last['health']}"
        )
    if "precision" in last:
        lines.append(f"precision: {last['precision']}: {last['precision_cause']}")
    if last.get("sharpness"):
        lines.append(_describe_sharpness(last["sharpness"]))
    lines += summary_lines(last.get("agreement"))
    lines += _describe_canary(last.get("canary"))
    lines += [
        f"left alone: {name}: {left_alone_text(counts)}"
        for name, counts in (last.get("left_alone") or {}).items()
    ]
    if last.get("state_fault"):
        lines.append(f"paused: all folders: {last['state_fault']}")
    for name, since_s in status["pauses"].items():
        lines.append(f"paused: {name or 'all folders'}: {BY_OPERATOR}, since {local_time(since_s)}")
    paused = (last.get("paused") or {}).items()  # of the last report; `pauses` is current
    lines += [f"paused: {name}: {why}" for name, why in paused if why != BY_OPERATOR]
    return "\n".join(printable(line) for line in lines)


def _describe_canary(canary: dict[str, Any] | None) -> list[str]:
    """Describe a report's block of the canary, two lines; none without a canary."""
    if not canary:
        return []
    if not canary["n"]:
        return [f"canary {canary['model']}: not measured yet"]
    teacher, of_used = (canary.get(key, "its teacher") for key in ("teacher", "used_teacher"))
    return [
        f"canary {canary['model']}: SSIM {canary['mean']:.4f} to {teacher} on {canary['n']} "
        f"crop(s) (model in use: {canary['used_mean']:.4f} to {of_used}), "
        f"{canary['crop_ms']:.1f} ms a crop (model in use: {canary['used_crop_ms']:.1f}), "
        f"{canary['difference']:.2f} levels of difference",
        f"canary {canary['model']}: {describe_ratio(canary)}{_describe_quotient(canary)}",
    ]


def _describe_quotient(canary: dict[str, Any]) -> str:
    """Compare a canary with the model in use; empty where the quotient was not judged."""
    quotient, above = canary.get("quotient"), canary.get("quotient_above")
    if quotient is None or above is None:
        return ""
    return f"; {quotient:.3f} times that of the model in use (alarm above {above:.3f})"


def _describe_sharpness(sharpness: dict[str, float]) -> str:
    """Describe the sharpness of the last report's images before sharpening."""
    middle = sharpness["p50"]
    return (
        f"inputs: {word_for(middle)}, median sharpness {middle:.2f}, "
        f"80 % from {sharpness['p10']:.2f} to {sharpness['p90']:.2f}"
    )
