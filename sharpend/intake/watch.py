"""Hear from the kernel which paths below a root may have changed.

Owns watchdog: nothing else imports it. Its events only mark paths dirty; past a few hundred, or
at the least doubt, the whole folder is dirty instead. Refuses to promise that it heard all:
watchdog loses events in a burst, so the scan alone carries that promise.
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

_MOST_PATHS = 512
_JOIN_S = 5.0
_IN_CREATE = 0x100

# No modifications: they come at every write() and a settling file is looked at again anyway. No
# opening and no closing after reading: our own reading would be heard as changes.
_HEARD: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class WatchUnavailableError(SharpendError):
    """The kernel grants no (complete) watch on this folder; the text says what would help."""


@dataclass(frozen=True, slots=True)
class Dirty:
    """What may have changed since the last time it was asked."""

    paths: Mapping[bytes, bool] = field(default_factory=dict)
    """Below the root; True where the file was closed after writing or moved into place."""
    everything: bool = False
    """Some change could not be placed, or too many were: only a scan can tell."""


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
        self._complaints = _Complaints(self.doubt)
        self._start(recursive=recursive)

    @property
    def pending(self) -> bool:
        """Whether `take` would return something."""
        return self._everything or bool(self._paths)

    def take(self) -> Dirty:
        """Hand over what is dirty and begin anew."""
        with self._lock:
            dirty = Dirty(self._paths, self._everything)
            self._paths, self._everything = {}, False
        return dirty

    def alive(self) -> bool:
        """Whether every thread of the watch runs; watchdog's own answer leaves out the emitters."""
        emitters = self._observer.emitters
        return (
            self._observer.is_alive()
            and bool(emitters)
            and all(emitter.is_alive() for emitter in emitters)
        )

    def check(self) -> None:
        """Check that new directories can still be watched.

        watchdog 7.1 passes over a sub-directory that it cannot watch without a word, so the limit
        is found by asking for one watch more than it took.

        Raises:
            WatchUnavailableError: the limit is reached.
        """
        try:
            _probe(self._root)
        except OSError as error:
            raise WatchUnavailableError(_explain(error)) from error

    def stop(self) -> None:
        """End the watch and its threads."""
        logging.getLogger("watchdog").removeHandler(self._complaints)
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join(_JOIN_S)

    def mark(self, path: bytes, *, finished: bool) -> None:
        """Note that something happened to an absolute path."""
        if path != self._root and not path.startswith(self._prefix):
            self.doubt()
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

    def doubt(self) -> None:
        """Make the whole folder dirty."""
        with self._lock:
            first = not self.pending
            self._everything = True
            self._paths = {}
        if first:
            self._wake()

    def _start(self, *, recursive: bool) -> None:
        try:
            self._observer = Observer()
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
        logging.getLogger("watchdog").addHandler(self._complaints)
        # The only warning that this one of its loggers gives repeats what another one has said.
        logging.getLogger("watchdog.observers.inotify").setLevel(logging.ERROR)


class _Marker(FileSystemEventHandler):
    """Passes the paths of events on, and nothing more: it runs in watchdog's thread."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def on_any_event(self, event: FileSystemEvent) -> None:
        try:
            moved = isinstance(event, FileMovedEvent)
            finished = moved or isinstance(event, FileClosedEvent)
            self._watch.mark(os.fsencode(event.src_path), finished=finished)
            if event.dest_path:
                self._watch.mark(os.fsencode(event.dest_path), finished=finished)
        except Exception:  # noqa: BLE001 - an exception would end watchdog's thread in silence
            self._watch.doubt()


class _Complaints(logging.Handler):
    """Hears watchdog warn: 7.1 tells of an overflow nowhere else."""

    def __init__(self, doubt: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._doubt = doubt

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - any complaint is a doubt
        self._doubt()


def _probe(root: bytes) -> None:
    """Ask for one inotify watch more, and let go of it; other systems have no such limit."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init()
    if descriptor < 0:  # no instance left: the watch that runs already has its own
        return
    try:
        if libc.inotify_add_watch(descriptor, root, _IN_CREATE) < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def _explain(error: OSError | RuntimeError) -> str:
    """Say what to do; ENOSPC here has nothing to do with disks."""
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOSPC:
        return "no inotify watches left: raise the sysctl fs.inotify.max_user_watches"
    if number == errno.EMFILE:
        return "no inotify instances left: raise the sysctl fs.inotify.max_user_instances"
    return f"cannot be watched: {error}"
