"""Commits in groups: one transaction a step, one fsync a folder, each file judged for itself."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.commit import committer, local_folder, ownership, relocate, syncs
from sharpend.commit.names import Naming
from sharpend.commit.results import Committed, Unfinished
from sharpend.daemon.pending_results import MAX_GROUP
from sharpend.errors import FolderFaultError, ImageRefusedError, TransientError
from sharpend.files import atomic
from sharpend.ledger.records import State
from sharpend.policies import CollisionPolicy, ExistingPolicy, SourcePolicy
from tests.crashing import COMMIT_STEPS
from tests.fakes import Shop
from tests.parent import cost
from tests.selected import fast_where
from tests.shop import NOW, CommitShop, CrashError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sharpend.commit.publication import StagedJob

NAMES = ("a/x.png", "a/y.png", "b/z.png")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[CommitShop]:
    """A shop with photos in two folders."""
    made = CommitShop(tmp_path)
    for name in NAMES:
        made.drop(name, name.encode())
    yield made
    made.ledger.close()


def commit(shop: CommitShop, group: list[StagedJob]) -> dict[bytes, Committed | Unfinished]:
    """Commit a group; the end of each input."""
    return {entry.job.relative: ended for entry, ended in shop.committer.commit(group, NOW)}


def visible(shop: CommitShop) -> dict[str, bytes]:
    """The outputs."""
    return {name: data for name, data in shop.files("out").items() if ".sharpend-" not in name}


def test_the_files_of_a_group_take_each_step_together(shop: CommitShop) -> None:
    """No file is renamed before all are recorded, and none is finished before all are durable."""
    steps: list[str] = []
    shop.committer._at = steps.append
    commit(shop, shop.taken(3))
    first = [step for step in COMMIT_STEPS if step in steps][:5]
    assert steps[: 3 * 5] == [step for step in first for _ in NAMES]


@pytest.mark.parametrize(
    ("step", "nth", "source"),
    fast_where(
        lambda _, nth, source: source is SourcePolicy.ARCHIVE or nth == 2,
        product(COMMIT_STEPS, (1, 2, 3), SourcePolicy),
    ),
)
def test_a_crash_within_a_group(
    shop: CommitShop, step: str, nth: int, source: SourcePolicy
) -> None:
    """Killed at a step of any file of a group, each input has one output in the end."""
    shop.to = replace(shop.to, source=source)
    reached = Counter[str]()

    def at(here: str) -> None:
        reached[here] += 1
        if here == step and reached[here] == nth:
            raise CrashError(here)

    shop.committer._at = at
    with pytest.raises(CrashError):
        commit(shop, shop.taken(3))
    sources = {*shop.files("in").values(), *shop.files("archive").values()}
    outputs = {data.removeprefix(b"sharp ") for data in visible(shop).values()}
    assert {name.encode() for name in NAMES} <= sources | outputs
    shop.restart()
    shop.run_all()
    assert shop.files("out") == {name: b"sharp " + name.encode() for name in NAMES}
    assert shop.ledger.counts()[State.DISPOSED] == len(NAMES)
    kept = {name: name.encode() for name in NAMES}
    assert shop.files("in") == (kept if source is SourcePolicy.KEEP else {})
    assert shop.files("archive") == (kept if source is SourcePolicy.ARCHIVE else {})


def failing_for(name: bytes, number: int, real: Callable[..., None]) -> Callable[..., None]:
    """The function; it fails where the name is among its arguments."""

    def called(*given: object) -> None:
        if name in given:
            raise OSError(number, os.strerror(number))
        real(*given)

    return called


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_rename_that_fails_leaves_the_others(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Its job stays staged, for `recover` to decide; the others are finished."""
    real = atomic.rename_without_clobbering
    group = shop.taken(3)
    with monkeypatch.context() as broken:
        failing = failing_for(b"y.png", number, real)
        broken.setattr(local_folder, "rename_without_clobbering", failing)
        ends = commit(shop, group)
    failed = ends.pop(b"a/y.png")
    assert isinstance(failed, Unfinished)
    assert isinstance(failed.error, FolderFaultError)
    assert all(isinstance(end, Committed) for end in ends.values())
    assert shop.state(b"a/y.png") is State.STAGED
    assert len(list(shop.committer.recover(shop.to, NOW))) == 1
    assert sorted(visible(shop)) == list(NAMES)


def test_a_failing_fsync_is_that_of_its_folder(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file there is unfinished, and the fsync is not tried again; other folders go on."""
    group, calls = shop.taken(3), list[int]()
    folder = (shop.home / "out/a").stat()

    def fsync(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), folder):
            calls.append(fd)
            if len(calls) == 1:
                raise OSError(errno.EIO, "Input/output error")
        atomic.fsync_directory(fd)

    monkeypatch.setattr(local_folder, "fsync_directory", fsync)
    ends = commit(shop, group)
    assert {name for name, end in ends.items() if isinstance(end, Unfinished)} == {
        b"a/x.png",
        b"a/y.png",
    }
    assert len(calls) == 1
    assert shop.ledger.counts()[State.STAGED] == 2


def test_a_staged_file_that_is_gone_leaves_the_others(shop: CommitShop) -> None:
    """What became of it is looked up later; nothing else waits for that."""
    group = shop.taken(3)
    lost = group[1].attempt.staged.temp_name
    (shop.home / "out/a" / os.fsdecode(lost)).unlink()
    ends = commit(shop, group)
    assert isinstance(ends[b"a/y.png"], Unfinished)
    assert sorted(visible(shop)) == ["a/x.png", "b/z.png"]
    assert list(shop.committer.recover(shop.to, NOW)) == []
    assert shop.state(b"a/y.png") is State.PENDING


def test_a_fault_before_the_record_is_of_its_file_alone(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again, and its staged file is gone."""
    group, real = shop.taken(3), ownership.choose

    def choose(*given: Any) -> object:  # noqa: ANN401 - as the real one
        if given[2].relative == b"a/x.png":
            raise OSError(errno.EIO, "Input/output error")
        return real(*given)

    monkeypatch.setattr(committer, "choose", choose)
    ends = commit(shop, group)
    failed = ends[b"a/x.png"]
    assert isinstance(failed, Unfinished)
    assert isinstance(failed.error, TransientError)
    assert sorted(shop.files("out")) == ["a/y.png", "b/z.png"]


@pytest.mark.parametrize("existing", ExistingPolicy)
@pytest.mark.parametrize("foreign", [None, b"foreign", b"sharp one"])
@pytest.mark.parametrize("portable", [False, True])
def test_a_group_ends_as_one_after_the_other(
    tmp_path: Path, existing: ExistingPolicy, foreign: bytes | None, *, portable: bool
) -> None:
    """Inputs that want one name get those that they get when each is committed alone."""
    made = {}
    for way in ("alone", "together"):
        (tmp_path / way).mkdir()
        shop = CommitShop(tmp_path / way)
        naming = Naming("{stem}.webp")
        shop.to = replace(shop.to, naming=naming, existing=existing, portable_names=portable)
        names = ("x.jpg", "x.png", "x-2.png", "X.tif")
        for name in names:
            shop.drop(name, b"one" if name == "x.jpg" else name.encode())
        group = shop.taken(len(names))
        if foreign is not None:  # since the inputs were taken
            (shop.home / "out/x.webp").write_bytes(foreign)
        for part in [group] if way == "together" else [[entry] for entry in group]:
            assert all(isinstance(end, Committed) for end in commit(shop, part).values())
        made[way] = (shop.files("out"), shop.ledger.counts())
        shop.ledger.close()
    assert made["together"] == made["alone"]


def test_a_collision_within_a_group_is_refused(shop: CommitShop) -> None:
    """Where names may not be numbered, the first has the name, and the second leaves nothing."""
    shop.run_all()
    shop.to = replace(shop.to, naming=Naming("{stem}.out"), collision=CollisionPolicy.REFUSE)
    for name in ("v.png", "v.jpg", "w.png"):
        shop.drop(name, name.encode())
    ends = commit(shop, shop.taken(3))
    refused = ends.pop(b"v.jpg")
    assert isinstance(refused, Unfinished)
    assert isinstance(refused.error, ImageRefusedError)
    assert all(isinstance(end, Committed) for end in ends.values())
    assert {"v.out": b"sharp v.png", "w.out": b"sharp w.png"}.items() <= shop.files("out").items()
    assert len(shop.files("out")) == len(NAMES) + 2


@pytest.mark.parametrize(
    ("workers", "source", "folders", "most"),
    [
        (2, SourcePolicy.KEEP, 4, 2.5),
        (MAX_GROUP, SourcePolicy.KEEP, 4, 0.2),
        (MAX_GROUP, SourcePolicy.ARCHIVE, 4, 0.2),
        (MAX_GROUP, SourcePolicy.DELETE, 4, 0.2),
    ],
)
def test_a_busy_daemon_waits_for_the_disk_once_in_many_images(
    tmp_path: Path, workers: int, source: SourcePolicy, folders: int, most: float
) -> None:
    """Claims and sub-folders included; with few workers, what they finish at once is together."""
    assert 0 < cost(tmp_path, 3 * MAX_GROUP, workers, source, folders).waits <= most


@pytest.mark.parametrize("source", [SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
def test_sources_go_together(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch, source: SourcePolicy
) -> None:
    """The ledger says so of all before the first goes; each folder is flushed once."""
    shop.to = replace(shop.to, source=source)
    group, steps, flushed = shop.taken(3), list[str](), list[str]()

    def fsync(fd: int) -> None:
        flushed.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), shop.home))

    monkeypatch.setattr(syncs, "fsync_directory", fsync)
    monkeypatch.setattr(relocate, "fsync_directory", fsync)
    shop.committer._at = steps.append
    commit(shop, group)
    assert (
        steps[-12:] == ["begun"] * 3 + ["source_removed", "sidecars_moved"] * 3 + ["disposed"] * 3
    )
    emptied = ["in/a", "in/b"]
    archived = ["archive/a", "archive/b"] if source is SourcePolicy.ARCHIVE else []
    assert sorted(flushed[: len(archived)]) == archived
    assert sorted(flushed[len(archived) :]) == emptied


@pytest.mark.parametrize("room", [0, 1])
def test_without_room_for_threads_folders_are_flushed_all_the_same(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The thread of the commit takes part where the system refuses further ones."""
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    group, start = shop.taken(3), threading.Thread.start
    started, flushed = list[threading.Thread](), list[str]()

    def refusing(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) > room:
            raise RuntimeError("can't start new thread")
        start(thread)

    def fsync(fd: int) -> None:
        flushed.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), shop.home))

    monkeypatch.setattr(threading.Thread, "start", refusing)
    monkeypatch.setattr(local_folder, "fsync_directory", fsync)
    monkeypatch.setattr(syncs, "fsync_directory", fsync)
    assert all(isinstance(end, Committed) for end in commit(shop, group).values())
    assert len(started) > room
    assert sorted(flushed) == ["archive/a", "archive/b", "in/a", "in/b", "out/a", "out/b"]


def test_a_crash_between_the_record_and_the_sources(shop: CommitShop) -> None:
    """They are still there, and go at the next start."""
    shop.to = replace(shop.to, source=SourcePolicy.DELETE)

    def at(step: str) -> None:
        if step == "begun":
            raise CrashError(step)

    shop.committer._at = at
    with pytest.raises(CrashError):
        commit(shop, shop.taken(3))
    assert sorted(shop.files("in")) == sorted(NAMES)
    shop.restart()
    shop.run_all()
    assert (shop.files("in"), sorted(shop.files("out"))) == ({}, sorted(NAMES))


def test_an_archive_whose_fsync_fails(shop: CommitShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources that went there wait for `recover`; those of another folder are done with."""
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    group = shop.taken(3)

    def fsync(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("archive/a"):
            raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(syncs, "fsync_directory", fsync)
        ends = commit(shop, group)
    pending = {
        name: not isinstance(end, Committed) or end.disposal_pending for name, end in ends.items()
    }
    assert pending == {b"a/x.png": True, b"a/y.png": True, b"b/z.png": False}
    assert shop.ledger.counts()[State.DONE] == 2
    list(shop.committer.recover(shop.to, NOW))
    assert sorted(shop.files("archive")) == sorted(NAMES)
    assert shop.ledger.counts()[State.DISPOSED] == 3


def test_a_source_that_is_open_for_writing_holds_up_no_other(shop: CommitShop) -> None:
    """It is disposed of later."""
    shop.to = replace(shop.to, source=SourcePolicy.DELETE)
    group = shop.taken(3)
    with (shop.home / "in/a/y.png").open("ab"):
        ends = commit(shop, group)
    waiting = {name for name, end in ends.items() if getattr(end, "disposal_pending", True)}
    assert waiting == {b"a/y.png"}
    list(shop.committer.recover(shop.to, NOW))
    assert shop.files("in") == {}


def test_one_image_does_not_wait_for_a_group(tmp_path: Path) -> None:
    """What is there in a turn is committed in it."""
    shop = Shop(tmp_path, workers=2)
    shop.take("a.png")
    shop.take("b.png")
    shop.pool.stage()
    shop.conclude()
    assert shop.made() == ["a.png"]
    assert [task.relative for task in shop.pool.tasks] == [b"b.png"]
    shop.close()
