"""Dry run of `sharpend once`: print planned actions and an estimated duration.

Owns the estimate and its basis, the throughput of earlier images in the ledger. Reads headers only,
as a worker does before it decodes, and changes nothing, not even the state directory. An action
that depends on the sharpness is printed with its alternative.
"""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from sharpend.commands.inputs import found, left_at_start, outcomes_of
from sharpend.commit.adoption import existing_output
from sharpend.errors import (
    ExitCode,
    ImageRefusedError,
    LedgerError,
    StateFaultError,
    TransientError,
)
from sharpend.files import beneath
from sharpend.files.fingerprint import display
from sharpend.files.objects.address import Address
from sharpend.files.remote import is_remote
from sharpend.intake.tally import left_alone_text
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import State
from sharpend.ledger.store import has_ledger
from sharpend.logs.plain import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sharpend.commit.destination import Destination
    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.intake.tally import Found
    from sharpend.ledger.records import FinishTimes
    from sharpend.settings.schema import Settings
    from sharpend.task import Options

WOULD = {
    State.QUARANTINED: "is in quarantine",
    State.DISPOSED: "is done",
    State.DONE: "is done",
}
"""Texts for inputs that need nothing."""
LEFT_AT_START = "is left as it is: only_new"
SHARPENED = "would be sharpened"
SHARPENED_OR_COPIED = "would be sharpened, or copied if it is sharp already"
NOT_MEASURED = (
    "model.skip_sharp: a dry run does not measure sharpness; "
    "`sharpend inspect` measures it for single files"
)
IMAGES_REMEMBERED = 200
FEWEST_IMAGES = 5
"""With fewer images no duration is estimated."""
_OUTAGE = 10
"""An image that took this many times as long as nine in ten of them was delayed by something else:
a missing share, a suspended machine."""
_MEGA = 1_000_000
_MINUTE_S, _HOUR_S = 60, 3600


@dataclass(slots=True)
class Outlook:
    """Planned actions for one folder's inputs."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    """Number of inputs by planned action, without reasons."""
    pixels: int = 0
    """Pixels to sharpen, by the headers; an upper limit where sharp images are copied."""
    left_alone: Counter[str] = field(default_factory=Counter)
    """Number of entries that are no inputs, by cause."""

    def __str__(self) -> str:
        counted = ((number, action.removeprefix("is ")) for action, number in self.counts.items())
        text = ", ".join(f"{number} {action}" for number, action in counted)
        line = f"{self.name}: {text or 'no images there'} ({self.pixels / _MEGA:.2f} megapixels)"
        alone = self.left_alone
        return f"{line}; {alone.total()} left alone: {left_alone_text(alone)}" if alone else line


@dataclass(frozen=True, slots=True)
class Pace:
    """Measured throughput of earlier images, all workers together."""

    images: int
    pixels_per_s: float


def dry_run(settings: Settings) -> int:
    """Print the planned action for each input, then a summary.

    Raises:
        StateFaultError: there is a ledger, and it cannot be read.
    """
    needless, earlier = _read_ledger(settings)
    outlooks = {folder.name: Outlook(folder.name) for folder in settings.folder}
    for plan, batch, tally in found(settings):
        outlook = outlooks[plan.destination.folder]
        outlook.left_alone = tally.left_alone
        for one in batch:
            action = needless.get((plan.destination.input_root, one.relative))
            _plan_input(plan, one.relative, action, outlook)
    for outlook in outlooks.values():
        print(printable(str(outlook)))
    may_copy = any(SHARPENED_OR_COPIED in outlook.counts for outlook in outlooks.values())
    if may_copy:
        print(NOT_MEASURED)
    if any(isinstance(folder.input, Address) for folder in settings.folder):
        print("duration unknown: no object is read for this")
        return ExitCode.OK
    pixels = sum(outlook.pixels for outlook in outlooks.values())
    print(estimate(pixels, pace(earlier), at_most=may_copy))
    return ExitCode.OK


def _read_ledger(
    settings: Settings,
) -> tuple[dict[tuple[bytes, bytes], str], Sequence[FinishTimes]]:
    """Read the inputs that need nothing, by root and path with the reason, and finished jobs."""
    if not has_ledger(settings.state):
        return _needless(settings, None), ()
    try:
        with LedgerReader.read_only(settings.state) as ledger:
            return _needless(settings, ledger), ledger.finished(IMAGES_REMEMBERED)
    except LedgerError as error:
        advice = "if an older sharpend wrote it, `sharpend run` upgrades it"
        raise StateFaultError(f"{error}; {advice}") from error


def _needless(settings: Settings, ledger: LedgerReader | None) -> dict[tuple[bytes, bytes], str]:
    """Return the inputs that need nothing, by root and path, with the reason."""
    needless: dict[tuple[bytes, bytes], str] = {}
    for plan, batch, _ in found(settings):
        destination, root = plan.destination, plan.destination.input_root
        if ledger is None or ledger.folder_name(root, destination.output_root) is None:
            adopted = (one.relative for one in batch if _would_be_adopted(destination, one))
            needless |= {(root, relative): WOULD[State.DONE] for relative in adopted}
        for relative in left_at_start(ledger, plan, batch):
            needless[root, relative] = LEFT_AT_START
        for outcome in outcomes_of(ledger, destination, batch) if ledger else ():
            if outcome.state in WOULD:
                needless[root, outcome.relative] = WOULD[outcome.state]
    return needless


def _plan_input(plan: FolderPlan, relative: bytes, needless: str | None, outlook: Outlook) -> None:
    """Print and count the planned action for one input; `needless`: why it needs nothing."""
    action, why = needless, ""
    if action is None:
        action = _action(plan.options)
        try:
            outlook.pixels += _pixels(plan, relative)
        except ImageRefusedError as error:
            action, why = "would be quarantined", f": {error.reason}"
        except (OSError, TransientError):
            action = "cannot be read"
    outlook.counts[action] += 1
    source = display(os.path.join(plan.destination.input_root, relative))
    print(printable(f"{source}: {action}{why}"))


def _would_be_adopted(destination: Destination, one: Found) -> bool:
    """Return whether an image of a folder that the ledger does not know has an output already."""
    existing = None
    with suppress(OSError):  # a run pauses the folder then
        existing = existing_output(destination, (one.relative, one.fingerprint))
    return existing is not None and existing.is_certain


def _action(options: Options) -> str:
    """Planned action for an image whose header is accepted."""
    from sharpend.workers.skipping import setting_against  # noqa: PLC0415 - as below

    if options.skip_sharp_above is None or setting_against(options):
        return SHARPENED
    return SHARPENED_OR_COPIED


def _pixels(plan: FolderPlan, relative: bytes) -> int:
    """Read an image's pixel count from its header, within the folder's limits."""
    from sharpend.imaging.codec import examine  # noqa: PLC0415 - Pillow only where it is used

    if is_remote(plan.destination.input_root):
        return 0  # a dry run downloads nothing
    descriptor = beneath.open_file(plan.destination.input_root, relative)
    with os.fdopen(descriptor, "rb") as file:
        limits = plan.options
        header = examine(file, max_pixels=limits.max_pixels, max_bytes=limits.max_bytes)
    return header.height * header.width


def pace(earlier: Sequence[FinishTimes]) -> Pace | None:
    """Measure throughput while there was work; None if too few images are known.

    An image took from the end of the one before it, or from when it was found if that came later,
    to its own end: so time without work does not count, and several workers do.
    """
    ordered = sorted(earlier, key=lambda one: one.at_s)
    took = [
        (max(one.at_s - max(before.at_s, one.found_at_s), 0.0), one.pixels)
        for before, one in pairwise(ordered)
    ]
    if len(ordered) < FEWEST_IMAGES:
        return None
    slowness = sorted(seconds / pixels for seconds, pixels in took)
    longest = _OUTAGE * slowness[len(slowness) * 9 // 10]
    usual = [(seconds, pixels) for seconds, pixels in took if seconds / pixels <= longest]
    busy_s = sum(seconds for seconds, _ in usual)
    return Pace(len(ordered), sum(pixels for _, pixels in usual) / busy_s) if busy_s else None


def estimate(pixels: int, known_pace: Pace | None, *, at_most: bool = False) -> str:
    """Describe the estimated duration, or its upper limit, and its basis."""
    if not pixels:
        return "there is nothing to do"
    if known_pace is None:
        return "duration unknown: too few images were sharpened before"
    duration = _duration(pixels / known_pace.pixels_per_s)
    speed = f"{known_pace.pixels_per_s / _MEGA:.3g} megapixels/s"
    basis = f"at the {speed} of the last {known_pace.images} images"
    return f"{'at most' if at_most else 'about'} {duration}, {basis}"


def _duration(seconds: float) -> str:
    if seconds < 2 * _MINUTE_S:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} minutes"
    return f"{seconds / _HOUR_S:.0f} hours"
