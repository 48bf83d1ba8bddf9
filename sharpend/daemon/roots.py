"""Roots of a folder: check them, create missing ones, record their identity.

Start, reload, `once` and a paused folder all open roots here. Creates nothing where a disk is not
mounted, or another one is.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from sharpend.commit.destination import Destination, roots_of
from sharpend.errors import (
    FolderFaultError,
    InputMissingError,
    LedgerError,
    OutputFailedError,
    SharpendError,
)
from sharpend.files.access import Access, require_membership
from sharpend.files.beneath import directory
from sharpend.files.fingerprint import display
from sharpend.files.mounts import mount_of
from sharpend.files.objects.condition_check import check_conditions, check_listing
from sharpend.files.remote import is_remote
from sharpend.ledger.reader import LedgerReader
from sharpend.logs.plain import printable
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.ledger.ledger import Ledger


class DiskMissingError(OutputFailedError):
    """The disk of an output or archive is not mounted, or another one is."""


class OnFault(Enum):
    """Consequence of roots that cannot be opened."""

    RAISE = auto()
    """An error: a command does not wait."""
    RAISE_IF_NEW = auto()
    """An error in a folder that is new to the ledger: more likely a mistake than a late disk."""
    PAUSE = auto()
    """The folder is paused and tried again."""


def prepare_roots(
    plan: FolderPlan, ledger: Ledger, on_fault: OnFault = OnFault.RAISE
) -> FolderPlan:
    """Open the roots of a folder, and use the ledger's name of it.

    Raises:
        InputMissingError: the input is no folder, or on another disk than before.
        OutputFailedError: an output or archive is on another disk than before, or it cannot be
            created or written.
        ConfigError: this process may not set the configured group.
        FolderFaultError: group or mode of a new output folder could not be set.
    """
    destination = plan.destination
    require_membership(destination.access.group, folder=destination.folder)
    known = ledger.folder_name(destination.input_root, destination.output_root)
    fault = _open(replace(destination, folder=known or destination.folder), ledger)
    if fault is None and (on_fault is OnFault.RAISE or known is None):
        # Later, operations on the bucket detect faults, without delaying other folders.
        _require_buckets(destination, tries=known is None)
    if fault is not None and (
        on_fault is OnFault.RAISE
        or (known is None and on_fault is OnFault.RAISE_IF_NEW)
        or (known is None and not isinstance(fault, InputMissingError | DiskMissingError))
    ):
        raise fault
    destination = replace(
        destination,
        folder=ledger.folder(destination.folder, destination.input_root, destination.output_root),
    )
    destination.guard.folder = destination.folder
    _close_or_record(destination, ledger, fault)
    intake = plan.intake
    if intake.threaded is None:  # a disk that comes later may be a network file system
        may_hang = fault is not None or is_remote(destination.input_root)
        threaded = may_hang or mount_of(destination.input_root).is_networked
        intake = replace(intake, threaded=threaded)
    return replace(plan, destination=destination, intake=intake)


def reopen(destination: Destination, ledger: Ledger, *, is_due: bool) -> None:
    """Open the roots of a prepared folder again; the guard is closed if that fails.

    Args:
        destination: of the folder.
        ledger: holds the recorded identity of the roots.
        is_due: open them also if they were not accepted since they were opened.

    Raises:
        StateFaultError: the ledger cannot be written.
    """
    if is_due or None in ledger.root_identities(destination.folder).values():
        _close_or_record(destination, ledger, _open(destination, ledger))


def objections(state_dir: Path, destinations: Iterable[Destination]) -> dict[bytes, str]:
    """Return the objection to each root that a daemon would not work in.

    Nothing is changed, but that a test object is written into object storage and deleted again.

    Args:
        state_dir: with the ledger; without one that can be read, no root was seen before.
        destinations: of the folders of the settings.
    """
    found: dict[bytes, str] = {}
    with ExitStack() as stack:
        ledger = None
        with suppress(LedgerError, OSError):
            ledger = stack.enter_context(LedgerReader.read_only(state_dir))
        for destination in destinations:
            name = None
            with suppress(LedgerError):
                name = ledger and ledger.folder_name(
                    destination.input_root, destination.output_root
                )
                recall(replace(destination, folder=name or destination.folder), ledger)
            destination.guard.folder = name or destination.folder
            for root, setting in _roots(destination):
                if (objection := destination.guard.objection(root, setting)) is not None:
                    found[root] = objection
            for root, setting in named_roots(destination):
                if is_remote(root) and (
                    objection := _bucket_objection(destination, root, setting, tries=True)
                ):
                    found[root] = objection
    return found


def _open(
    destination: Destination, ledger: LedgerReader
) -> InputMissingError | OutputFailedError | None:
    """Check the roots and create the missing ones; return the fault that prevents it."""
    recall(destination, ledger)
    destination.guard.folder = destination.folder
    try:
        _require_disks(destination)
        for root, setting in _roots(destination):
            if setting == "input":
                _require_input(root)
            elif setting != "quarantine":
                access = destination.access if setting == "output" else Access()
                _create(root, f"folder.{setting}", access)
        _look(destination)
    except (InputMissingError, OutputFailedError) as error:
        return error
    return None


def _close_or_record(destination: Destination, ledger: Ledger, fault: SharpendError | None) -> None:
    """Close the guard because of a fault, or open it and store the roots' identity."""
    destination.guard.closed = None if fault is None else str(fault)
    if fault is None:
        _record(destination, ledger)


def _require_disks(destination: Destination) -> None:
    for root, setting in _roots(destination):
        objection = destination.guard.objection(root, setting)
        if objection is not None:
            of_input = root == destination.input_root
            raise InputMissingError(objection) if of_input else DiskMissingError(objection)


def named_roots(destination: Destination) -> Iterator[tuple[bytes, str]]:
    """Yield each root of the settings with the key that names it."""
    yield destination.input_root, "input"
    yield destination.output_root, "output"
    if destination.archive_root is not None:
        yield destination.archive_root, "archive"


def _require_buckets(destination: Destination, *, tries: bool) -> None:
    """Require that the store answers for each root in object storage, and keeps conditions."""
    for root, setting in named_roots(destination):
        if is_remote(root) and (
            objection := _bucket_objection(destination, root, setting, tries=tries)
        ):
            raise (
                InputMissingError(objection) if setting == "input" else OutputFailedError(objection)
            )


def _bucket_objection(
    destination: Destination, root: bytes, setting: str, *, tries: bool
) -> str | None:
    """Return why a root in object storage cannot be worked in, or None.

    Args:
        destination: of the folder.
        root: in object storage.
        setting: that names it.
        tries: write and delete a test object where the daemon would write or delete.
    """
    writes = setting != "input" or destination.source is not SourcePolicy.KEEP
    try:
        check_listing(root)
        if writes and tries:
            check_conditions(root)
    except OSError as error:
        return f"folder.{setting}: {_shown(root)}: {error.strerror}"
    return None


def _roots(destination: Destination) -> Iterator[tuple[bytes, str]]:
    """Yield each root on a disk with its setting; a quarantine is created when needed."""
    yield from ((root, key) for root, key in named_roots(destination) if not is_remote(root))
    place, guard = destination.quarantine_root, destination.guard
    if place is None or guard.require_mount is not None:  # about the folder's own roots
        return
    if place in guard.identities or os.path.isdir(place):
        yield place, "quarantine"


def recall(destination: Destination, ledger: LedgerReader | None) -> None:
    """Load the recorded identity of the roots into the guard."""
    destination.guard.recall(ledger.root_identities(destination.folder) if ledger else {})


def _record(destination: Destination, ledger: Ledger) -> None:
    """Store the identity of the roots in the ledger."""
    before = ledger.root_identities(destination.folder)
    for path, root in destination.guard.identities.items():
        if before.get(path) != root.as_text():
            ledger.record_root(destination.folder, path, root.as_text())
    inodes = roots_of(destination)
    if inodes is not None:
        ledger.saw_roots(destination.folder, inodes, time.time())


def _look(destination: Destination) -> None:
    """Read the present identity of the roots into the guard."""
    try:
        roots = [root for root, _ in _roots(destination)]
        destination.guard.look(roots, destination.input_root)
    except OSError as error:
        raise OutputFailedError(f"{destination.folder}: {error.strerror}") from error


def _require_input(root: bytes) -> None:
    try:
        cause = None if stat.S_ISDIR(os.stat(root).st_mode) else "not a folder"
    except FileNotFoundError:
        cause = "no such folder"
    except OSError as error:
        cause = error.strerror or str(error)
    if cause is not None:
        raise InputMissingError(
            f"folder.input: {_shown(root)}: {cause}; create it or change folder.input"
        )


def _shown(root: bytes) -> str:
    return printable(display(root))


def _create(root: bytes, setting: str, access: Access) -> None:
    try:
        if not os.path.isdir(root):
            os.makedirs(root)
            _give(root, access)
    except OSError as error:
        raise OutputFailedError(
            f"{setting}: {_shown(root)}: {error.strerror}; choose a folder that can be written"
        ) from error
    if not os.access(root, os.W_OK | os.X_OK):
        raise OutputFailedError(
            f"{setting}: {_shown(root)}: not writable; let the user that runs sharpend write there"
        )


def _give(root: bytes, access: Access) -> None:
    """Set group and mode of a root that was just created; remove it if that fails."""
    try:
        with directory(root, b"") as descriptor:
            access.give_folder(descriptor)
    except FolderFaultError:
        os.rmdir(root)
        raise
