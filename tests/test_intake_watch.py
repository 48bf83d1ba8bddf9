"""Hearing from the kernel, and polling where it will not tell."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from contextlib import contextmanager
from logging.handlers import BufferingHandler
from typing import TYPE_CHECKING

import pytest
from watchdog.events import FileCreatedEvent
from watchdog.observers import Observer
from watchdog.observers.api import EventQueue, ObservedWatch
from watchdog.observers.inotify import InotifyFullEmitter

from sharpend.intake import watch as watch_module
from sharpend.intake.listen import Listener
from sharpend.intake.watch import Dirty, Watch, WatchUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEADLINE_S = 120.0


class Ear:
    """A watch together with all that it has handed over."""

    def __init__(self, root: Path) -> None:
        self.woken = threading.Event()
        self.watch = Watch(os.fsencode(root), recursive=True, wake=self.woken.set)
        self.paths: dict[bytes, bool] = {}
        self.everything = False

    def hear_until(self, done: Callable[[], bool]) -> None:
        """Take what is dirty, as often as the watch wakes us, until it is enough."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not done():
            assert self.woken.wait(deadline_s - time.monotonic()), "the watch stayed silent"
            self.woken.clear()
            dirty = self.watch.take()
            self.paths |= dirty.paths
            self.everything |= dirty.everything


@contextmanager
def listening(root: Path) -> Iterator[Ear]:
    """Watch a folder for the length of a block."""
    ear = Ear(root)
    try:
        yield ear
    finally:
        ear.watch.stop()


def test_written_and_moved_files_are_finished(tmp_path: Path) -> None:
    """Closing after writing and moving into place are distinguished from mere creation."""
    (tmp_path / "old.png").touch()
    with listening(tmp_path) as ear:
        (tmp_path / "a.png").write_bytes(b"a")
        os.rename(tmp_path / "old.png", tmp_path / "new.png")
        os.link(tmp_path / "a.png", tmp_path / "linked.png")
        ear.hear_until(lambda: {b"a.png", b"new.png", b"linked.png"} <= set(ear.paths))
        ear.hear_until(lambda: ear.paths[b"a.png"])
    assert ear.paths[b"new.png"]
    assert not ear.paths[b"linked.png"]
    assert not ear.everything


def test_our_own_reading_is_not_heard(tmp_path: Path) -> None:
    """Opening, reading and closing an input makes nothing dirty."""
    (tmp_path / "a.png").write_bytes(b"a")
    with listening(tmp_path) as ear:
        assert (tmp_path / "a.png").read_bytes() == b"a"
        (tmp_path / "b.png").touch()
        ear.hear_until(lambda: b"b.png" in ear.paths)
    assert b"a.png" not in ear.paths


def test_odd_names_are_heard(tmp_path: Path) -> None:
    """A name that is not UTF-8, or has a newline in it, arrives as its bytes."""
    with listening(tmp_path) as ear:
        for name in (b"\xff\xfe.png", b"a\nb.png"):
            with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
                pass
        ear.hear_until(lambda: {b"\xff\xfe.png", b"a\nb.png"} <= set(ear.paths))


def test_symlinked_root_is_watched(tmp_path: Path) -> None:
    """A root that is a symbolic link is watched where it leads."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with listening(tmp_path / "link") as ear:
        (tmp_path / "real/a.png").touch()
        ear.hear_until(lambda: b"a.png" in ear.paths)


def test_many_paths_become_the_whole_folder(tmp_path: Path) -> None:
    """Past 512 dirty paths the whole folder is dirty, and nothing is remembered singly."""
    with listening(tmp_path) as ear:
        for number in range(512):
            ear.watch.mark(os.fsencode(tmp_path / f"{number}.png"), finished=True)
        assert not ear.watch.take().everything
        for number in range(2000):
            ear.watch.mark(os.fsencode(tmp_path / f"{number}.png"), finished=True)
        assert ear.watch.take() == Dirty({}, everything=True)
        assert ear.watch.take() == Dirty()


@pytest.mark.parametrize("path", [b"/somewhere/else.png", b""])
def test_path_that_cannot_be_placed(tmp_path: Path, path: bytes) -> None:
    """An event outside the root, or about the root itself, makes the whole folder dirty."""
    with listening(tmp_path) as ear:
        ear.watch.mark(path or os.fsencode(tmp_path), finished=False)
        assert ear.woken.is_set()
        assert ear.watch.take().everything


def test_event_that_cannot_be_handled(tmp_path: Path) -> None:
    """A handler that stumbles makes the whole folder dirty; it never ends watchdog's thread."""
    with listening(tmp_path) as ear:
        event = FileCreatedEvent("a\ud800.png")  # no file name can decode to this
        watch_module._Marker(ear.watch).on_any_event(event)
        assert ear.watch.take().everything
        assert ear.watch.alive()


def test_overflow_makes_the_whole_folder_dirty(tmp_path: Path) -> None:
    """When watchdog warns that the kernel dropped events, the whole folder is dirty."""
    logger = logging.getLogger("watchdog.observers.inotify_c")
    with listening(tmp_path) as ear:
        logger.warning("Inotify queue overflowed; filesystem events were lost")
        assert ear.woken.is_set()
        assert ear.watch.take().everything
    logger.warning("after the end")
    assert not ear.watch.pending


def test_deleted_root_ends_the_watch(tmp_path: Path) -> None:
    """A watch whose root was deleted is not alive, and says that all is dirty."""
    root = tmp_path / "in"
    root.mkdir()
    with listening(root) as ear:
        root.rmdir()
        ear.hear_until(lambda: ear.everything)
        for emitter in ear.watch._observer.emitters:
            emitter.join(DEADLINE_S)
        assert not ear.watch.alive()


def test_stopped_watch_leaves_nothing(tmp_path: Path) -> None:
    """Starting and stopping watches leaves neither threads nor descriptors."""
    with listening(tmp_path):
        pass
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with listening(tmp_path):
            pass
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors


@pytest.mark.parametrize(
    ("number", "sysctl"),
    [
        (errno.ENOSPC, "fs.inotify.max_user_watches"),
        (errno.EMFILE, "fs.inotify.max_user_instances"),
        (errno.ENOENT, "cannot be watched"),
    ],
)
def test_refused_watch_names_the_sysctl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sysctl: str
) -> None:
    """A watch that the kernel refuses says which limit to raise, and leaves nothing behind."""

    def start(_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Observer, "start", start)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(WatchUnavailableError, match=sysctl):
        Watch(os.fsencode(tmp_path), recursive=True, wake=lambda: None)
    assert len(os.listdir("/proc/self/fd")) == before


def listener(root: Path, poll_reason: str | None = None) -> Listener:
    """Make the ears of a folder, deaf as yet."""
    return Listener(
        os.fsencode(root),
        recursive=True,
        poll_reason=poll_reason,
        retry_s=60.0,
        wake=lambda: None,
    )


def test_listener_polls_at_the_limit_and_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the kernel's limit the folder is polled; the watch is tried again, not at each scan."""
    real_probe, tries = watch_module._probe, 0

    def probe(_: bytes) -> None:
        nonlocal tries
        tries += 1
        raise OSError(errno.ENOSPC, "full")

    ears = listener(tmp_path)
    ears.renew(0.0)
    assert ears.polling is None
    monkeypatch.setattr(watch_module, "_probe", probe)
    for second in range(60):
        ears.renew(float(second))
    assert (tries, "max_user_watches" in str(ears.polling)) == (1, True)
    assert ears.take(60.0) == Dirty()
    monkeypatch.setattr(watch_module, "_probe", real_probe)
    ears.renew(60.0)
    assert ears.polling is None
    ears.stop()


def test_listener_replaces_a_dead_watch(tmp_path: Path) -> None:
    """A watch whose thread died makes everything dirty until it is replaced."""
    ears = listener(tmp_path)
    ears.renew(0.0)
    assert ears.take(0.0) == Dirty()
    assert ears._watch is not None
    for emitter in ears._watch._observer.emitters:
        emitter.stop()
        emitter.join(DEADLINE_S)
    assert ears.take(1.0).everything
    ears.renew(2.0)
    assert ears.take(3.0) == Dirty()
    ears.stop()


def test_listener_gathers_events(tmp_path: Path) -> None:
    """Events are handed over in batches, and the next batch says when it wants to be fetched."""
    ears = listener(tmp_path)
    ears.renew(0.0)
    assert ears._watch is not None
    ears._watch.mark(os.fsencode(tmp_path / "a.png"), finished=True)
    assert ears.take(10.0).paths == {b"a.png": True}
    ears._watch.mark(os.fsencode(tmp_path / "b.png"), finished=True)
    assert ears.take(10.1) == Dirty()
    assert ears.next_s == 10.2
    assert ears.take(10.2).paths == {b"b.png": True}
    ears.stop()


def test_listener_never_watches_when_asked(tmp_path: Path) -> None:
    """A folder that is to be polled gets no watch."""
    ears = listener(tmp_path, poll_reason="configured")
    ears.renew(0.0)
    assert (ears.polling, ears._watch) == ("configured", None)


def test_an_event_of_a_watch_that_is_stopping_is_no_error(tmp_path: Path) -> None:
    """An emitter complains when it is asked after its end; its other errors are kept."""
    emitter = InotifyFullEmitter(EventQueue(), ObservedWatch(str(tmp_path), recursive=False))
    log, heard = logging.getLogger("watchdog.observers.inotify"), BufferingHandler(10)
    log.addHandler(heard)
    try:
        emitter.queue_events(0)
        log.error("another one")
    finally:
        log.removeHandler(heard)
    assert [record.getMessage() for record in heard.buffer] == ["another one"]
