"""Results of `sharpend once`: a line for each input, the progress bar, and the summary.

Owns what is printed on stdout, as text or as JSON lines. Inputs that an earlier run finished or
refused are marked as earlier.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from sharpend.agreement.summary import summary_lines
from sharpend.commands.inputs import ENDED, found, left_at_start, outcomes_of
from sharpend.files.fingerprint import display
from sharpend.intake.tally import left_alone_text
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.logs.plain import plain, printable

if TYPE_CHECKING:
    from sharpend.commit.destination import Destination
    from sharpend.daemon.results import Result
    from sharpend.ledger.records import KnownInput
    from sharpend.settings.schema import Settings


@dataclass(frozen=True, slots=True)
class PrintedResult:
    """Result of one input."""

    relative: bytes
    outcome: str
    """sharpened, unchanged or quarantined."""
    output: bytes | None
    reason: str | None
    message: str
    setting: str | None
    """Setting that would let a quarantined input through."""
    attempts: int
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    """Notes on changes, or on why nothing was changed."""
    losses: tuple[str, ...] = ()
    """Content of the input that the output lacks."""
    warning: str = ""
    """Cause of an input that was not archived or deleted."""
    sharpness: float | None = None
    """Sharpness of the input, `Cues.sharpness`; None if this run did not measure it."""
    earlier: bool = False
    """True if an earlier run or a daemon did it."""


class ResultPrinter:
    """Printer and counter of results.

    Args:
        settings: of the run.
        as_json: print JSON lines.
        to_do: number of images that the progress bar counts up to; None shows no bar.

    Attributes:
        counts: inputs by outcome; of quarantined ones only those of this run.
    """

    def __init__(self, settings: Settings, *, as_json: bool, to_do: int | None) -> None:
        self._settings = settings
        self._json = as_json
        self._bar = tqdm(unit=" images", total=to_do, disable=to_do is None)
        self._printed: dict[tuple[bytes, bytes], str] = {}
        """Outcome of each input, by its folder and path."""
        self._started_s = time.monotonic()
        self._pixels = 0
        self._refused_earlier = 0
        self._left = 0
        self._left_at_start = 0
        self._left_alone: Counter[str] = Counter()
        self.counts: Counter[str] = Counter(sharpened=0, unchanged=0, quarantined=0)

    def show(self, result: Result) -> None:
        """Print one input's result."""
        staged = result.staged
        self._pixels += staged.pixels if staged is not None else 0
        ending = PrintedResult(
            result.job.relative,
            result.outcome,
            output=result.output,
            reason=result.reason,
            message=result.message,
            setting=result.setting,
            attempts=result.job.attempts,
            seconds=result.seconds,
            notes=staged.notes if staged is not None else (),
            losses=staged.losses if staged is not None else (),
            warning=result.warning,
            sharpness=staged.sharpness if staged is not None else None,
        )
        self._line(result.destination, ending)

    def close(self, agreement: dict[str, object] | None) -> None:
        """Print the inputs that needed nothing, and a summary."""
        self._count_the_rest()
        self._bar.close()
        seconds = time.monotonic() - self._started_s
        summary = {
            "counts": dict(self.counts),
            "quarantined_earlier": self._refused_earlier,
            "left": self._left,
            "left_at_start": self._left_at_start,
            "left_alone": dict(self._left_alone),
            "seconds": round(seconds, 3),
            "megapixels": round(self._pixels / 1e6, 3),
            "agreement": agreement,
        }
        if self._json:
            print(json.dumps({"summary": plain(summary)}), flush=True)
        else:
            for line in _summary_lines(summary):
                print(printable(line))

    def _count_the_rest(self) -> None:
        """Print inputs that an earlier run had finished or refused; count all others."""
        with LedgerReader.read_only(self._settings.state) as ledger:
            for plan, batch, tally in found(self._settings):
                destination = plan.destination
                for outcome in outcomes_of(ledger, destination, batch):
                    if (destination.input_root, outcome.relative) not in self._printed:
                        self._print_earlier(destination, outcome)
                root = destination.input_root
                paths = {(root, one.relative) for one in batch} - self._printed.keys()
                at_start = {(root, one) for one in left_at_start(ledger, plan, batch)} & paths
                self._left_at_start += len(at_start)
                self._left += len(paths - at_start)
                self._left_alone += tally.left_alone
                tally.left_alone.clear()  # a tally grows with each batch of its folder

    def _print_earlier(self, destination: Destination, outcome: KnownInput) -> None:
        if outcome.state not in ENDED:
            return
        refused = outcome.state is State.QUARANTINED
        ending = PrintedResult(
            outcome.relative,
            "quarantined" if refused else "unchanged",
            output=outcome.output,
            reason=outcome.reason,
            message=outcome.message or "",
            setting=outcome.setting,
            attempts=outcome.attempts,
            earlier=True,
        )
        self._line(destination, ending)

    def _line(self, destination: Destination, ending: PrintedResult) -> None:
        key = (destination.input_root, ending.relative)
        if key in self._printed:  # it was refused, and has changed meanwhile
            self.counts[self._printed[key]] -= 1
        elif not ending.earlier:
            self._bar.update()
        self._printed[key] = ending.outcome
        if ending.earlier and ending.outcome == "quarantined":
            self._refused_earlier += 1
        else:
            self.counts[ending.outcome] += 1
        if self._json:
            self._bar.clear()
            print(json.dumps(_as_json(destination, ending)), flush=True)
        elif not ending.earlier and (text := _as_text(destination, ending)):
            self._bar.write(printable(text), file=sys.stdout)


def _as_json(destination: Destination, ending: PrintedResult) -> dict[str, object]:
    output = ending.output
    return {
        "input": display(os.path.join(destination.input_root, ending.relative)),
        "output": output and display(os.path.join(destination.output_root, output)),
        "outcome": ending.outcome,
        "reason": ending.reason,
        "attempts": ending.attempts,
        "seconds": round(ending.seconds, 4),
        "message": ending.message or None,
        "setting": ending.setting,
        "notes": ending.notes,
        "losses": ending.losses,
        "warning": ending.warning or None,
        "sharpness": None if ending.sharpness is None else round(ending.sharpness, 3),
        "earlier": ending.earlier,
    }


def _as_text(destination: Destination, ending: PrintedResult) -> str:
    """Describe a result that is more than a sharpened image; else an empty text."""
    source = display(os.path.join(destination.input_root, ending.relative))
    if ending.outcome == "quarantined":
        return f"{source}: quarantined: {ending.reason}: {ending.message}"
    losses = [loss for loss in ending.losses if loss not in ending.warning]  # printed once
    remarks = [*ending.notes, *losses, *[ending.warning] * bool(ending.warning)]
    return f"{source}: {ending.outcome}: {'; '.join(remarks)}" if remarks else ""


def _summary_lines(summary: dict[str, Any]) -> list[str]:
    """Describe the whole run."""
    counted = ", ".join(f"{number} {outcome}" for outcome, number in summary["counts"].items())
    lines = [f"{counted} in {summary['seconds']:.1f} s ({summary['megapixels']} megapixels)"]
    if summary["quarantined_earlier"]:
        lines.append(
            f"{summary['quarantined_earlier']} quarantined by an earlier run: "
            "`sharpend list quarantined` shows them, `sharpend retry` tries them again"
        )
    if summary["left"]:
        lines.append(f"{summary['left']} left undone: run the same command again to continue")
    if summary["left_at_start"]:
        lines.append(
            f"{summary['left_at_start']} skipped: they existed at the first start (only_new)"
        )
    if summary["left_alone"]:
        alone = summary["left_alone"]
        lines.append(f"{sum(alone.values())} left alone: {left_alone_text(alone)}")
    return lines + summary_lines(summary["agreement"])
