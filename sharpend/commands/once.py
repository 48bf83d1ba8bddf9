"""`sharpend once`: sharpen all images in the folders now, print each result, exit.

The same daemon as `run`, text to end when nothing is left to do. Results go to stdout, logs to
stderr; on a terminal a progress bar stands in place of the log of single images.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

from sharpend.agreement.alarm import in_words
from sharpend.commands.arguments import workable_settings_of
from sharpend.commands.preview import dry_run, known
from sharpend.daemon import plans
from sharpend.daemon.daemon import Daemon
from sharpend.daemon.mode import Mode
from sharpend.errors import SIGNALLED, ExitCode, UnavailableError, UsageError
from sharpend.files.fingerprint import display
from sharpend.ledger.reader import ALL_FOLDERS, LedgerReader
from sharpend.ledger.records import State
from sharpend.logs import logs
from sharpend.settings.load import check_folders

if TYPE_CHECKING:
    import argparse

    from sharpend.commit.destination import Destination
    from sharpend.daemon.outcomes import Result
    from sharpend.settings.load import Settings

MOST_RETRIES = {"attempts": 3, "first_s": 1.0, "longest_s": 2.0}
"""Limits of retries in this command, where a user waits; the daemon retries for longer."""


def main(options: argparse.Namespace) -> int:
    """Run until nothing is left to do."""
    settings = workable_settings_of(options)
    if options.dry_run and options.json:
        raise UsageError("--dry-run and --json cannot be combined")
    if options.dry_run:
        check_folders(settings)
        return dry_run(settings)
    settings = _at_any_hour(settings)
    fewer = {key: min(most, getattr(settings.retry, key)) for key, most in MOST_RETRIES.items()}
    retry = settings.retry.model_copy(update=fewer)
    settings = settings.model_copy(update={"retry": retry})
    bar = sys.stderr.isatty() and settings.log.format == "auto"
    level = "error" if bar and settings.log.level == "info" else settings.log.level
    log = plans.log(settings, level=level)
    printer = ResultPrinter(settings, as_json=options.json, bar=bar)
    daemon = Daemon(settings, log, Mode(once=True, on_result=printer.show))
    status = daemon.run()
    printer.close(daemon.agreement)
    if daemon.was_stopped:
        return SIGNALLED + daemon.was_stopped
    return ExitCode.SOME_QUARANTINED if printer.counts["quarantined"] else status


def _at_any_hour(settings: Settings) -> Settings:
    """Take the hours out of the folders: whoever gives this command wants it now.

    Raises:
        UnavailableError: a folder is paused by `sharpend pause`.
    """
    if (settings.state / "ledger.db").exists():
        with LedgerReader.read_only(settings.state) as ledger:
            ways = [plan.destination for plan in plans.folder_plans(settings)]
            names = [ledger.folder_name(way.input_root, way.output_root) for way in ways]
            held = ledger.holds().keys() & {ALL_FOLDERS, *names}
        if held:
            raise UnavailableError(f"{min(held) or 'all folders'}: paused; see `sharpend resume`")
    folders = tuple(folder.model_copy(update={"hours": ()}) for folder in settings.folder)
    return settings.model_copy(update={"folder": folders})


@dataclass(frozen=True, slots=True)
class Ending:
    """Result of one input."""

    relative: bytes
    outcome: str
    """sharpened, unchanged or quarantined."""
    output: bytes | None
    reason: str | None
    message: str
    attempts: int
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    """Notes on changes, or on why nothing was changed."""
    sharpness: float | None = None
    """Sharpness of the input, `Cues.sharpness`; None if this run did not measure it."""


class ResultPrinter:
    """Printer and counter of results."""

    def __init__(self, settings: Settings, *, as_json: bool, bar: bool) -> None:
        self._settings = settings
        self._json = as_json
        self._bar = tqdm(unit=" images", disable=not bar)
        self._printed: set[tuple[bytes, bytes]] = set()
        self._started_s = time.monotonic()
        self._pixels = 0
        self.counts: Counter[str] = Counter(sharpened=0, unchanged=0, quarantined=0)

    def show(self, result: Result) -> None:
        """Print one input's result."""
        staged = result.staged
        self._pixels += staged.pixels if staged is not None else 0
        ending = Ending(
            result.job.relative,
            result.outcome,
            output=result.output,
            reason=result.reason,
            message=result.message,
            attempts=result.job.attempts,
            seconds=result.seconds,
            notes=staged.notes if staged is not None else (),
            sharpness=staged.sharpness if staged is not None else None,
        )
        self._line(result.folder.plan.destination, ending)

    def close(self, agreement: dict[str, object] | None) -> None:
        """Print the inputs that needed nothing, and a summary."""
        self._print_earlier()
        self._bar.close()
        seconds, left = time.monotonic() - self._started_s, self._left_at_start()
        summary = {
            "counts": dict(self.counts),
            "seconds": round(seconds, 3),
            "megapixels": round(self._pixels / 1e6, 3),
            "agreement": agreement,
            "left_at_start": left,
        }
        if self._json:
            print(json.dumps({"summary": logs.plain(summary)}), flush=True)
            return
        counted = ", ".join(f"{number} {outcome}" for outcome, number in self.counts.items())
        print(f"{counted} in {seconds:.1f} s ({summary['megapixels']} megapixels)")
        if left:
            print(f"{left} left as they are: they were there at the first start (only_new)")
        if agreement and agreement["n"]:
            mean, noop = agreement["mean"], agreement["noop_mean"]
            print(
                f"agreement with the teacher: SSIM {mean:.4f} on {agreement['n']} crop(s) "
                f"(input itself: {noop:.4f})"
            )
            print(in_words(agreement))

    def _left_at_start(self) -> int:
        """Count the images that `only_new` leaves as they are."""
        with LedgerReader.read_only(self._settings.state) as ledger:
            ways = [plan.destination for plan in plans.folder_plans(self._settings)]
            names = [ledger.folder_name(way.input_root, way.output_root) for way in ways]
            return sum(ledger.seen(name) for name in names if name is not None)

    def _print_earlier(self) -> None:
        """Print inputs that an earlier run had finished or refused."""
        with LedgerReader.read_only(self._settings.state) as ledger:
            for destination, outcome in known(self._settings, ledger):
                if (destination.input_root, outcome.relative) in self._printed:
                    continue
                ended = "quarantined" if outcome.state is State.QUARANTINED else "unchanged"
                if outcome.state in {State.QUARANTINED, State.DONE, State.DISPOSED}:
                    ending = Ending(
                        outcome.relative,
                        ended,
                        output=outcome.output,
                        reason=outcome.reason,
                        message=outcome.message or "",
                        attempts=outcome.attempts,
                    )
                    self._line(destination, ending)

    def _line(self, destination: Destination, ending: Ending) -> None:
        self._printed.add((destination.input_root, ending.relative))
        self.counts[ending.outcome] += 1
        self._bar.update()
        source = display(os.path.join(destination.input_root, ending.relative))
        output = ending.output
        if self._json:
            line = {
                "input": source,
                "output": output and display(os.path.join(destination.output_root, output)),
                "outcome": ending.outcome,
                "reason": ending.reason,
                "attempts": ending.attempts,
                "seconds": round(ending.seconds, 4),
                "notes": ending.notes,
                "sharpness": None if ending.sharpness is None else round(ending.sharpness, 3),
            }
            self._bar.clear()
            print(json.dumps(line), flush=True)
        elif ending.outcome == "quarantined":
            text = f"{source}: quarantined: {ending.reason}: {ending.message}"
            self._bar.write(logs.printable(text), file=sys.stdout)
        elif ending.notes:
            text = f"{source}: {ending.outcome}: {'; '.join(ending.notes)}"
            self._bar.write(logs.printable(text), file=sys.stdout)
