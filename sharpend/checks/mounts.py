"""Mount checks: file system types, and inotify limits.

Compares mounts and inotify limits with the folders that the settings watch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.checks.finding import Finding, fault, note, ok
from sharpend.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sharpend.files.mounts import Mount
    from sharpend.intake.interface import FolderOptions

_LIMITS = "/proc/sys/fs/inotify"
_FORGETFUL = {"tmpfs", "ramfs"}
_HEADROOM = 0.9
"""The share of a limit that may be used up by us: other programs of the same user watch too."""


@dataclass(frozen=True, slots=True)
class InotifyLimits:
    """Kernel limits of inotify for one user."""

    watches: int
    instances: int


def limits() -> InotifyLimits | None:
    """Read the limits of this machine; None if it has no inotify."""
    try:
        return InotifyLimits(_limit("max_user_watches"), _limit("max_user_instances"))
    except OSError:
        return None


def _limit(name: str) -> int:
    with open(os.path.join(_LIMITS, name), encoding="ascii") as file:
        return int(file.read())


def is_polled(options: FolderOptions, mount: Mount) -> bool:
    """Return whether changes in a folder are found by polling."""
    return mount.is_networked if options.polling is None else options.polling


def input_mount(name: str, options: FolderOptions, mount: Mount) -> Finding:
    """Check how changes in an input are detected."""
    subject, kind = f"{name}: changes", mount.kind
    if is_polled(options, mount):
        return ok(subject, f"{kind}: polled every {options.poll_s:g} s")
    if mount.is_networked:
        what = f"{kind} is a network file system: changes by other machines are found every"
        return note(subject, f"{what} {options.rescan_s:g} s only", 'set folder.polling = "auto"')
    return ok(subject, f"{kind}: inotify")


def state_mount(state: str, mount: Mount) -> Finding:
    """Check that the ledger's file system is safe for SQLite."""
    if mount.is_networked:
        what = f"{state} is on {mount.kind}, and a ledger on a network file system can be damaged"
        change = "set state to a folder on a local disk"
        return fault("state: file system", what, change, ExitCode.CONFIGURATION)
    if mount.kind in _FORGETFUL:
        what = f"{state} is on {mount.kind}: the ledger is lost at every reboot"
        return note("state: file system", what, "set state to a folder on a disk")
    return ok("state: file system", f"{state}: {mount.kind}, local")


def inotify(found: InotifyLimits | None, watched: Sequence[int]) -> Iterator[Finding]:
    """Check that the limits allow all folders to be watched.

    Args:
        found: the limits.
        watched: how many directories each folder has that is not polled.
    """
    if found is None:
        yield note("inotify", "not available on this system: folders are polled")
        return
    for name, limit, needed, things in (
        ("max_user_watches", found.watches, sum(watched), "directories"),
        ("max_user_instances", found.instances, len(watched), "folders"),
    ):
        text = f"{things} to watch: {needed} of {limit} (fs.inotify.{name})"
        if needed > _HEADROOM * limit:
            enough = 1 << (2 * needed).bit_length()
            change = f"sysctl fs.inotify.{name}={enough}, and in /etc/sysctl.d/ for good"
            yield note("inotify", f"{text}: folders beyond the limit are polled", change)
        else:
            yield ok("inotify", text)
