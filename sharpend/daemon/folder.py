"""One configured folder at work: what comes in, where it goes, and whether it is paused.

Owns the two causes of a pause: an input that cannot be read (the intake says so) and an output
side that cannot be written (a worker or the commit says so). The second is tried again with one
picture at a time until one gets through.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sharpend.commit.adoption import adopt
from sharpend.commit.destination import Destination, identity_of, roots_of
from sharpend.errors import FolderFaultError, InputMissingError, OutputFailedError
from sharpend.files.access import Access, require_membership
from sharpend.files.beneath import directory
from sharpend.files.fingerprint import Fingerprint, display
from sharpend.intake.filesystem import mount_of
from sharpend.intake.folder import FolderIntake, FolderOptions
from sharpend.intake.threaded import ThreadedIntake
from sharpend.job import Task
from sharpend.logs.events import Event

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from sharpend.intake.folder import Step
    from sharpend.intake.scan import Found
    from sharpend.job import Job, Options
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log

FIRST_PROBE_S = 5.0
LONGEST_PROBE_S = 30.0
"""A folder that can be written again works again after this long at most, and one picture."""


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """One folder as the settings want it, in plain values."""

    destination: Destination
    intake: FolderOptions
    options: Options
    reprocess: bool = False
    """Do finished pictures again when the network or an option has changed."""
    newest_first: bool = False
    """Begin with the picture that came in last, not with the one that has waited longest."""

    def task(self, job: Job, parent: bytes, temp_name: bytes, *, measured: bool) -> Task:
        """All that a worker needs for one job of this folder.

        Args:
            job: one that was claimed.
            parent: the output's own folder.
            temp_name: what the worker writes there.
            measured: compare with the teacher.
        """
        return Task(
            job_id=job.id,
            input_root=self.destination.input_root,
            output_root=self.destination.output_root,
            relative=job.relative,
            output_parent=parent,
            temp_name=temp_name,
            fingerprint=job.fingerprint,
            options=self.options,
            measure_agreement=measured,
            access=self.destination.access,
        )


def prepare_roots(plan: FolderPlan, ledger: Ledger) -> FolderPlan:
    """Make the output folders, remember which they are, and take the ledger's name.

    Raises:
        InputMissingError: the input is no folder.
        OutputFailedError: an output folder cannot be made or written.
        ConfigError: this process may not give files to the group that is set.
        FolderFaultError: the output folder, made here, does not take the group or mode.
    """
    destination = plan.destination
    require_membership(destination.access.group, folder=destination.folder)
    if not os.path.isdir(destination.input_root):
        raise InputMissingError(
            f"folder.input: {display(destination.input_root)}: no such folder; "
            "create it or change folder.input"
        )
    identities = {
        root: _made(root, setting, access)
        for root, setting, access in (
            (destination.output_root, "folder.output", destination.access),
            (destination.archive_root, "folder.archive", Access()),
        )
        if root is not None
    }
    name = ledger.folder(destination.folder, destination.input_root, destination.output_root)
    roots = roots_of(destination)
    if roots is not None:
        ledger.saw_roots(name, roots, time.time())
    intake = plan.intake
    if intake.apart is None:
        intake = replace(intake, apart=mount_of(destination.input_root).is_networked)
    destination = replace(destination, folder=name, identities=identities)
    return replace(plan, destination=destination, intake=intake)


def _made(root: bytes, setting: str, access: Access) -> tuple[int, int]:
    try:
        if not os.path.isdir(root):
            os.makedirs(root)
            _give(root, access)
    except OSError as error:
        raise OutputFailedError(
            f"{setting}: {display(root)}: {error.strerror}; choose a folder that can be written"
        ) from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise OutputFailedError(
            f"{setting}: {display(root)}: not writable; let the user that runs sharpend write there"
        )
    return identity_of(root)


def _give(root: bytes, access: Access) -> None:
    """Let those into a root that was just made who may; one where that fails is not left."""
    try:
        with directory(root, b"") as descriptor:
            access.give_folder(descriptor)
    except FolderFaultError:
        os.rmdir(root)
        raise


class Folder:
    """A folder in the daemon's hands.

    Args:
        plan: with its roots prepared.
        ledger: takes what settled.
        log: told when the folder is paused, resumed or polled.
        wake: asks for a step soon, from any thread.
        chance: spreads the scans of several folders.
    """

    def __init__(
        self,
        plan: FolderPlan,
        ledger: Ledger,
        log: Log,
        *,
        wake: Callable[[], None],
        chance: random.Random,
    ) -> None:
        self.plan = plan
        self.name = plan.destination.folder
        self.fault: str | None = None
        """Why the output side cannot be worked on, or None."""
        self._probe_at_s = 0.0
        self._probe_after_s = FIRST_PROBE_S
        self._took_back = False
        self._ledger = ledger
        self._log = log
        kind = ThreadedIntake if plan.intake.apart else FolderIntake
        self.intake = kind(plan.intake, fresh=self._fresh, wake=wake, chance=chance)
        self._last: Step | None = None

    def step(self, now_s: float) -> float:
        """Take in what has settled; returns when to come again (monotonic seconds)."""
        self._took_back = False
        step = self.intake.step(now_s)
        if step.settled:
            entries = _entries(step.settled)
            if self._ledger.rebuilt:
                entries = [entry for entry in entries if not self._adopted(entry, now_s)]
            self._ledger.add(self.name, entries, time.time())
            for found in step.settled:
                self._log.debug(Event.FILE_SETTLED, folder=self.name, path=found.relative)
        self._tell(step)
        self._last = step
        return step.next_s

    def _adopted(self, entry: tuple[bytes, Fingerprint], now_s: float) -> bool:
        """After the ledger was lost: an output that stands already is not made again."""
        try:
            return adopt(self._ledger, self.plan.destination, entry, time.time())
        except OSError as error:  # nobody can tell now, and made again it would be there twice
            self.pause(f"the output folder cannot be looked at: {error.strerror}", now_s)
            self.take_back(entry[0])
            return True

    def take_back(self, relative: bytes) -> None:
        """Let a file settle again that changed after it was handed on."""
        self._took_back = True
        self.intake.unsettle(relative)

    def _fresh(self, found: Sequence[Found]) -> list[Found]:
        """Those that the ledger has neither finished nor queued."""
        new = set(self._ledger.unknown(self.name, _entries(found)))
        return [one for one in found if (one.relative, one.fingerprint) in new]

    @property
    def has_looked(self) -> bool:
        """The first scan is through, or the folder cannot be looked at now."""
        return self._last is not None and (
            self._last.tally is not None or self._last.paused is not None
        )

    @property
    def is_quiet(self) -> bool:
        """Everything that lies in the folder was handed on."""
        if self._last is None or self._took_back:
            return False
        return self.has_looked and not self._last.settling

    @property
    def paused(self) -> str | None:
        """Why nothing is done at the moment, or None."""
        return self.fault or (self._last.paused if self._last is not None else None)

    def raise_for_pause(self) -> None:
        """Nothing while work goes on here.

        Raises:
            OutputFailedError: the output side cannot be worked on.
            InputMissingError: the input side cannot.
        """
        if self.fault is not None:
            raise OutputFailedError(f"{self.name}: {self.fault}")
        if self.paused is not None:
            raise InputMissingError(f"{self.name}: {self.paused}")

    @property
    def left_alone(self) -> int:
        """Files with a suffix that is no picture's, at the last whole scan."""
        tally = self._last.tally if self._last is not None else None
        return tally.unknown if tally is not None else 0

    @property
    def unreadable(self) -> int:
        """Files and folders that could not be read, at the last whole scan."""
        tally = self._last.tally if self._last is not None else None
        return tally.unreadable if tally is not None else 0

    def may_work(self, now_s: float, *, running: bool) -> bool:
        """Whether a job of this folder may be handed out; a faulty folder tries one at a time."""
        if self._last is not None and self._last.paused is not None:
            return False
        return self.fault is None or (now_s >= self._probe_at_s and not running)

    def pause(self, fault: str, now_s: float) -> None:
        """The output side failed as a whole: wait, longer after each picture that was tried."""
        if self.fault is None:
            self._probe_after_s = FIRST_PROBE_S
            self._log.error(Event.FOLDER_PAUSED, folder=self.name, reason=fault)
        elif now_s >= self._probe_at_s:
            self._probe_after_s = min(2 * self._probe_after_s, LONGEST_PROBE_S)
        else:  # the pictures that were in work beside the first one fail as it did
            return
        self.fault = fault
        self._probe_at_s = now_s + self._probe_after_s

    def resume(self) -> bool:
        """The output side can be worked on; True where that ended a pause."""
        was_paused, self.fault = self.fault is not None, None
        if was_paused:
            self._log.info(Event.FOLDER_RESUMED, folder=self.name)
        return was_paused

    def _tell(self, step: Step) -> None:
        """Log what changed about the input side since the last step."""
        paused = self._last.paused if self._last is not None else None
        if step.paused is not None and step.paused != paused:
            self._log.warning(Event.FOLDER_PAUSED, folder=self.name, reason=step.paused)
        if step.paused is None and paused is not None:
            self._log.info(Event.FOLDER_RESUMED, folder=self.name)
        polling = self._last.polling if self._last is not None else None
        if step.polling is not None and step.polling != polling:
            self._log.info(Event.FOLDER_POLLED, folder=self.name, reason=step.polling)
        if step.paused is None and step.polling is None and polling is not None:
            self._log.info(Event.FOLDER_WATCHED, folder=self.name)
        if step.tally is not None and step.tally.unreadable not in {0, self.unreadable}:
            self._log.warning(
                Event.FOLDER_SKIPPED,
                folder=self.name,
                unreadable=step.tally.unreadable,
                paths=step.tally.unreadable_paths,
            )

    def close(self) -> None:
        """Stop watching."""
        self.intake.close()


def _entries(found: Sequence[Found]) -> list[tuple[bytes, Fingerprint]]:
    return [(one.relative, one.fingerprint) for one in found]
