"""Watch of a folder with inotify: collect the paths that may have changed.

Owns watchdog: nothing else imports it. Its events only mark paths as changed (dirty); beyond 512
paths, or if an event is ambiguous, the whole folder is marked. Events can be lost, in a burst for
example, so only a scan is complete.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from sharpend.errors import SharpendError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from watchdog.observers.api import BaseObserver

_MOST_PATHS = 512
_JOIN_S = 5.0
_IN_CREATE = 0x100

# No modifications: each write() causes one, and a settling file is checked again anyway. No opening
# and no closing after reading: our own reading would count as a change.
_HEARD: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


def _while_running(record: logging.LogRecord) -> bool:
    """Drop what watchdog 7.1 logs as an error when an event comes while a watch is stopped."""
    return "called when the thread is inactive" not in record.getMessage()


logging.getLogger("watchdog.observers.inotify").addFilter(_while_running)


class WatchUnavailableError(SharpendError):
    """The kernel allows no (complete) watch on this folder; the text names the remedy."""


@dataclass(frozen=True, slots=True)
class Dirty:
    """Paths that may have changed since the last `take`."""

    paths: Mapping[bytes, bool] = field(default_factory=dict)
    """Below the root; True where the file was closed after writing or moved into place."""
    everything: bool = False
    """True if the whole folder has to be scanned: too many changes, or one of unknown path."""


class Watch:
    """A running watch on one root.

    Args:
        root: the folder; a symbolic link is resolved once, here.
        recursive: watch the directories below it, too.
        wake: called from watchdog's threads when the first path since the last `take` gets dirty;
            must return at once.

    Raises:
        WatchUnavailableError: the inotify limits are used up, or the folder cannot be watched.
    """

    def __init__(self, root: bytes, *, recursive: bool, wake: Callable[[], None]) -> None:
        self._root = os.path.realpath(root)
        self._prefix = os.path.join(self._root, b"")
        self._wake = wake
        self._lock = threading.Lock()
        self._paths: dict[bytes, bool] = {}
        self._everything = False
        self._warnings = _WarningHandler(self.mark_all)
        self._start(recursive=recursive)

    @property
    def pending(self) -> bool:
        """True if `take` returns something."""
        return self._everything or bool(self._paths)

    def take(self) -> Dirty:
        """Return the changed paths and clear them."""
        with self._lock:
            dirty = Dirty(self._paths, self._everything)
            self._paths, self._everything = {}, False
        return dirty

    def alive(self) -> bool:
        """Return whether every thread of the watch runs; watchdog itself ignores the emitters."""
        emitters = self._observer.emitters
        return (
            self._observer.is_alive()
            and bool(emitters)
            and all(emitter.is_alive() for emitter in emitters)
        )

    def check(self) -> None:
        """Check that new directories can still be watched.

        watchdog 7.1 silently skips a sub-directory that it cannot watch, so the limit is found by
        requesting one more watch.

        Raises:
            WatchUnavailableError: the limit is reached.
        """
        try:
            _probe(self._root)
        except OSError as error:
            raise WatchUnavailableError(_explain(error)) from error

    def stop(self) -> None:
        """End the watch and its threads."""
        logging.getLogger("watchdog").removeHandler(self._warnings)
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join(_JOIN_S)

    def mark(self, path: bytes, *, finished: bool) -> None:
        """Mark an absolute path as changed; `finished`: it was closed or moved into place."""
        if path != self._root and not path.startswith(self._prefix):
            self.mark_all()
            return
        relative = path[len(self._prefix) :]
        with self._lock:
            first = not self.pending
            if not relative or len(self._paths) >= _MOST_PATHS:
                self._everything = True
                self._paths = {}
            elif not self._everything:
                self._paths[relative] = self._paths.get(relative, False) or finished
        if first:
            self._wake()

    def mark_all(self) -> None:
        """Mark the whole folder as changed."""
        with self._lock:
            first = not self.pending
            self._everything = True
            self._paths = {}
        if first:
            self._wake()

    def _start(self, *, recursive: bool) -> None:
        try:
            self._observer = _observer()
        except OSError as error:
            raise WatchUnavailableError(_explain(error)) from error
        try:
            self._observer.schedule(
                _Marker(self), os.fsdecode(self._root), recursive=recursive, event_filter=_HEARD
            )
            self._observer.start()
            _probe(self._root)
        except (OSError, RuntimeError) as error:
            self.stop()
            raise WatchUnavailableError(_explain(error)) from error
        logging.getLogger("watchdog").addHandler(self._warnings)
        # The only warning of this logger repeats one of another logger.
        logging.getLogger("watchdog.observers.inotify").setLevel(logging.ERROR)


class _Marker(FileSystemEventHandler):
    """Mark the paths of events; runs in watchdog's thread."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_any_event(self, event: FileSystemEvent) -> None:
        try:
            moved = isinstance(event, FileMovedEvent)
            finished = moved or isinstance(event, FileClosedEvent)
            for path in (event.src_path, event.dest_path):
                if path:  # of a move into or out of the folder, one end is unknown
                    self._watch.mark(os.fsencode(path), finished=finished)
        except Exception:  # noqa: BLE001 - an exception would silently end watchdog's thread
            self._watch.mark_all()


class _WarningHandler(logging.Handler):
    """Log handler for watchdog's warnings: 7.1 reports an overflow nowhere else."""

    def __init__(self, mark_all: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._mark_all = mark_all

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - any warning may be an overflow
        self._mark_all()


def _observer() -> BaseObserver:
    """Make an observer that distinguishes a file that was moved in from one that was created."""
    if sys.platform == "linux":
        return Observer(generate_full_events=True)  # type: ignore[call-arg]
    return Observer()


def _probe(root: bytes) -> None:
    """Request one more inotify watch and release it; other systems have no such limit."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init()
    if descriptor < 0:  # no instance left: the running watch has its own
        return
    try:
        if libc.inotify_add_watch(descriptor, root, _IN_CREATE) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def _explain(error: OSError | RuntimeError) -> str:
    """Describe the error and its remedy; ENOSPC here means watches, not disk space."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC:
        return "no inotify watches left: raise the sysctl fs.inotify.max_user_watches"
    if number == errno.EMFILE:
        return "no inotify instances left: raise the sysctl fs.inotify.max_user_instances"
    return f"cannot be watched: {error}"
