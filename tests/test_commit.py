"""One visible output per input, whole, through crashes and faults; the source is never lost."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from sharpend.commit.destination import TempNames
from sharpend.commit.names import Naming
from sharpend.commit.results import Committed, Prepared, Unfinished
from sharpend.commit.stale import remove_stale_temps
from sharpend.errors import FolderFaultError, ImageRefusedError, Reason, TransientError
from sharpend.files import atomic
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.lease import NO_LEASE
from sharpend.files.mounted_roots import look
from sharpend.ledger.records import Job, Product, QuarantineReason, State
from sharpend.policies import ExistingPolicy, Losses, SourcePolicy
from tests.shop import NOW, CommitShop, CrashError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STEPS = [
    "chosen",
    "staged",
    "renamed",
    "synced",
    "finished",
    "copied",
    "source_removed",
    "sidecars_moved",
    "disposed",
]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[CommitShop]:
    """A shop with one photo waiting."""
    made = CommitShop(tmp_path)
    made.drop("a/x.png")
    yield made
    made.ledger.close()


def failing(number: int) -> Callable[..., None]:
    """A system call that fails."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_output_mirrors_the_input(shop: CommitShop) -> None:
    """The output has the input's relative path, the source is kept, no litter is left."""
    done = shop.run()
    assert (done.output, done.kept_existing, done.warning) == (b"a/x.png", False, "")
    assert shop.files("out") == {"a/x.png": b"sharp photo"}
    assert shop.files("in") == {"a/x.png": b"photo"}
    assert shop.state() is State.DISPOSED


def test_deleted_source(shop: CommitShop) -> None:
    """With `source = "delete"` the input goes once its output is in place."""
    shop.to = replace(shop.to, source=SourcePolicy.DELETE)
    shop.run()
    assert (shop.files("in"), shop.files("out")) == ({}, {"a/x.png": b"sharp photo"})


LOST = ("its layers were not kept",)


@pytest.mark.parametrize("step", ["", *STEPS])
def test_a_source_that_has_more_than_its_output_stays_for_good(shop: CommitShop, step: str) -> None:
    """Also where the daemon dies on the way; it is finished, and not a new image."""
    shop.to, shop.crash_at = replace(shop.to, source=SourcePolicy.DELETE), step
    job = shop.claim()
    attempt = shop.work(job, LOST)
    try:
        ended: list[Committed | Unfinished] = [shop.commit(job, attempt)]
    except CrashError:
        shop.crash_at = ""
        ended = shop.restart()
    if shop.state() is State.PENDING:  # the staged file was lost before the ledger knew it
        job = shop.claim()
        ended = [shop.commit(job, shop.work(job, LOST))]
    assert ["pictures.losses" in one.warning for one in ended if isinstance(one, Committed)] == (
        [True] * (step not in STEPS[STEPS.index("finished") :])
    )
    assert shop.restart() == []
    assert shop.state() is State.DISPOSED
    assert shop.files("in") == {"a/x.png": b"photo"}
    entry = (b"a/x.png", Fingerprint.of((shop.home / "in/a/x.png").stat()))
    assert list(shop.ledger.unknown("in", [entry])) == []


def test_what_is_done_again_with_losses_accepted_is_deleted(shop: CommitShop) -> None:
    """`sharpend retry --all` is the way to dispose of a source that was kept."""
    shop.to = replace(shop.to, source=SourcePolicy.DELETE)
    job = shop.claim()
    shop.commit(job, shop.work(job, LOST))
    assert shop.ledger.retry_finished("in", b"a/x.png") == 1
    job = shop.claim()
    attempt = replace(shop.work(job, LOST), losses=Losses.ACCEPT)
    assert shop.commit(job, attempt).warning == ""
    assert shop.files("in") == {}
    assert shop.files("out") == {"a/x.png": b"sharp photo"}


def test_archived_source(shop: CommitShop) -> None:
    """With `source = "archive"` the input moves to the same path there, over nothing."""
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    (shop.home / "archive/a").mkdir()
    (shop.home / "archive/a/x.png").write_bytes(b"other")
    shop.run()
    assert shop.files("in") == {}
    assert shop.files("archive") == {"a/x.png": b"other", "a/x-2.png": b"photo"}


def across_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let renames between two folders fail as between two disks."""
    real = atomic._rename_noreplace

    def rename(source_fd: int, source: bytes, target_fd: int, target: bytes) -> None:
        if not source.startswith(b".sharpend-"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source_fd, source, target_fd, target)

    monkeypatch.setattr(atomic, "_rename_noreplace", rename)


@pytest.mark.parametrize("existing", ExistingPolicy)
@pytest.mark.parametrize("source", [SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
def test_the_next_picture_of_that_name_is_another_one(
    shop: CommitShop, source: SourcePolicy, existing: ExistingPolicy
) -> None:
    """Where sources are disposed of, the only trace of an image is never replaced by the next."""
    shop.to = replace(shop.to, source=source, existing=existing)
    outputs = {}
    for number, name in enumerate(["a/x.png", "a/x-2.png", "a/x-3.png"]):
        shop.drop("a/x.png", b"photo %d" % number)
        shop.run_all()
        outputs[name] = b"sharp photo %d" % number
        assert shop.files("out") == outputs
    assert shop.files("in") == {}


@pytest.mark.parametrize("source", [SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
def test_a_crash_does_not_forget_what_was_let_go(shop: CommitShop, source: SourcePolicy) -> None:
    """Killed just after the source went, and the next of that name came before the restart."""
    shop.to = replace(shop.to, source=source)
    shop.crash_at = "source_removed"
    with pytest.raises(CrashError):
        shop.run()
    shop.crash_at = ""
    shop.drop("a/x.png", b"another")
    shop.restart()
    shop.run_all()
    assert shop.files("out") == {"a/x.png": b"sharp photo", "a/x-2.png": b"sharp another"}


@pytest.mark.parametrize("source", [SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
def test_a_source_that_was_replaced_in_time_was_not_let_go(
    shop: CommitShop, source: SourcePolicy
) -> None:
    """Its owner put another in its place before it could go: the output follows."""
    shop.to = replace(shop.to, source=source)
    job = shop.claim()
    attempt = shop.work(job)
    shop.drop("a/x.png", b"another")
    shop.commit(job, attempt)
    shop.run_all()
    assert shop.files("out") == {"a/x.png": b"sharp another"}


def test_a_picture_put_back_from_the_archive_is_done_again(shop: CommitShop) -> None:
    """The very same file replaces its own output."""
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    shop.run()
    back = shop.home / "in" / "a/x.png"
    (shop.home / "archive" / "a/x.png").rename(back)
    entry = (b"a/x.png", Fingerprint.of(back.stat()))
    assert shop.ledger.add("in", shop.ledger.unknown("in", [entry]), NOW).jobs == 1
    shop.run()
    assert shop.files("out") == {"a/x.png": b"sharp photo"}
    assert shop.files("archive") == {"a/x.png": b"photo"}


def test_what_was_let_go_is_not_asked_for_again(shop: CommitShop) -> None:
    """`retry --all` finds nothing to do where there is no source any more."""
    shop.to = replace(shop.to, source=SourcePolicy.DELETE)
    shop.run()
    assert shop.ledger.retry_finished() == 0
    assert shop.ledger.retry_outdated("in", model="another", options="") == 0


def test_archive_on_another_disk(shop: CommitShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between disks the source is copied with its times and mode, and then removed."""
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    source = shop.home / "in/a/x.png"
    source.chmod(0o640)
    before = source.stat()
    across_disks(monkeypatch)
    shop.run()
    assert (shop.files("in"), shop.files("archive")) == ({}, {"a/x.png": b"photo"})
    after = (shop.home / "archive/a/x.png").stat()
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)


def test_archive_cut_off_between_copy_and_unlink(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that a crash left in the archive is recognised, not made twice."""
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    across_disks(monkeypatch)
    real = os.unlink

    def unlink(path: bytes, *, dir_fd: int | None = None) -> None:
        if path == b"x.png":
            raise CrashError
        real(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(CrashError):
        shop.run()
    assert (len(shop.files("in")), len(shop.files("archive"))) == (1, 1)
    monkeypatch.setattr(os, "unlink", real)
    (done,) = shop.restart()
    assert isinstance(done, Committed)
    assert (shop.files("in"), shop.files("archive")) == ({}, {"a/x.png": b"photo"})


@pytest.mark.parametrize(
    ("source", "existing"),
    [(policy, "nothing") for policy in SourcePolicy]
    + [(SourcePolicy.KEEP, "foreign"), (SourcePolicy.DELETE, "ours")],
)
@pytest.mark.parametrize("step", STEPS)
def test_crash_at_each_step(tmp_path: Path, step: str, source: SourcePolicy, existing: str) -> None:
    """Killed between any two steps, and again during recovery, it ends with one output."""
    shop = CommitShop(tmp_path)
    expected = {"x.png": b"sharp photo"}
    if existing == "foreign":
        (tmp_path / "out/x.png").write_bytes(b"foreign")
        expected = {"x.png": b"foreign", "x-2.png": b"sharp photo"}
    if existing == "ours":
        shop.drop("x.png", b"earlier")
        shop.run()
    shop.to = replace(shop.to, source=source)
    shop.drop("x.png")
    shop.crash_at = step
    for _ in range(2):
        with pytest.raises(CrashError):
            shop.run()
        inputs = {**shop.files("in"), **shop.files("archive")}
        visible = {k: v for k, v in shop.files("out").items() if not k.startswith(".")}
        assert b"photo" in inputs.values() or b"sharp photo" in visible.values()
        assert set(visible.values()) <= {b"foreign", b"sharp earlier", b"sharp photo"}
        try:
            shop.restart()
        except CrashError:
            shop.crash_at = ""
            shop.restart()
        if not shop.ledger.counts()[State.PENDING]:
            break
    shop.crash_at = ""
    shop.run_all()
    assert shop.files("out") == expected
    assert shop.state(b"x.png") is State.DISPOSED
    kept = {"x.png": b"photo"}
    assert shop.files("in") == (kept if source is SourcePolicy.KEEP else {})
    assert shop.files("archive") == (kept if source is SourcePolicy.ARCHIVE else {})
    shop.ledger.close()


def test_crash_between_link_and_unlink(shop: CommitShop) -> None:
    """Where a rename is a link and an unlink, both names on one file are one output."""
    shop.crash_at = "staged"
    with pytest.raises(CrashError):
        shop.run()
    (temp,) = (shop.home / "out/a").iterdir()
    (shop.home / "out/a/x.png").hardlink_to(temp)
    shop.crash_at = ""
    shop.restart()
    assert shop.files("out") == {"a/x.png": b"sharp photo"}


@pytest.mark.parametrize("whole_folder", [True, False])
def test_lost_staged_file_is_made_again(shop: CommitShop, *, whole_folder: bool) -> None:
    """A staged file that has gone sets its job back to pending, with its attempt."""
    shop.crash_at = "staged"
    with pytest.raises(CrashError):
        shop.run()
    for path in (shop.home / "out/a").iterdir():
        path.unlink()
    if whole_folder:
        (shop.home / "out/a").rmdir()
    shop.crash_at = ""
    assert shop.restart() == []
    assert shop.claim().attempts == 1


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "folder", "fifo"])
@pytest.mark.parametrize("policy", ExistingPolicy)
def test_planted_output_names(shop: CommitShop, kind: str, policy: ExistingPolicy) -> None:
    """A link, folder or FIFO at the output's name is never followed nor overwritten."""
    shop.to = replace(shop.to, existing=policy)
    job = shop.claim()
    attempt = shop.work(job)
    secret = shop.home / "secret"
    secret.write_bytes(b"secret")
    planted = shop.home / "out/a/x.png"
    match kind:
        case "file":
            planted.write_bytes(b"foreign")
        case "link":
            planted.symlink_to(secret)
        case "dangling":
            planted.symlink_to("nowhere")
        case "folder":
            planted.mkdir()
        case _:
            os.mkfifo(planted)
    before = planted.lstat()
    done = shop.commit(job, attempt)
    replaced = kind == "file" and policy is ExistingPolicy.REPLACE
    assert (planted.lstat().st_ino == before.st_ino) == (not replaced)
    assert secret.read_bytes() == b"secret"
    assert done.kept_existing == (kind == "file" and policy is ExistingPolicy.SKIP)
    expected = (
        b"a/x.png" if kind == "file" and policy is not ExistingPolicy.SUFFIX else b"a/x-2.png"
    )
    assert done.output == expected


def test_linked_output_folder_is_refused(shop: CommitShop) -> None:
    """A link in place of an output folder leads nowhere."""
    (shop.home / "elsewhere").mkdir()
    (shop.home / "out/a").symlink_to(shop.home / "elsewhere")
    with pytest.raises(ImageRefusedError):
        shop.run()
    assert shop.files("elsewhere") == {}


def test_suffixes_count_up(shop: CommitShop) -> None:
    """Foreign files keep their names; the output takes the first free number."""
    (shop.home / "out/a").mkdir()
    for name in ("x.png", "x-2.png", "x-3.png"):
        (shop.home / "out/a" / name).write_bytes(b"foreign")
    assert shop.run().output == b"a/x-4.png"


def test_name_taken_at_the_last_moment(shop: CommitShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign file that appears between the look and the rename keeps its name."""
    real = shop.ledger.stage

    def stage(job: Job, product: Product) -> None:
        (shop.home / "out/a/x.png").write_bytes(b"foreign")
        real(job, product)

    monkeypatch.setattr(shop.ledger, "stage", stage)
    assert shop.run().output == b"a/x-2.png"
    assert shop.files("out") == {"a/x.png": b"foreign", "a/x-2.png": b"sharp photo"}


def test_new_content_replaces_its_own_output(shop: CommitShop) -> None:
    """A replaced input's output takes the place of the old one, suffix and all."""
    (shop.home / "out/a").mkdir()
    foreign = shop.home / "out/a/x.png"
    foreign.write_bytes(b"foreign")
    shop.run()
    foreign.unlink()
    shop.drop("a/x.png", b"better")
    shop.run()
    assert shop.files("out") == {"a/x-2.png": b"sharp better"}


def test_edited_output_is_foreign(shop: CommitShop) -> None:
    """An output that somebody changed is theirs now."""
    shop.run()
    (shop.home / "out/a/x.png").write_bytes(b"retouched")
    shop.drop("a/x.png", b"better")
    shop.run()
    assert shop.files("out") == {"a/x.png": b"retouched", "a/x-2.png": b"sharp better"}


@pytest.mark.parametrize("policy", ExistingPolicy)
def test_two_inputs_with_one_output_name(shop: CommitShop, policy: ExistingPolicy) -> None:
    """Two inputs never share an output, not even where foreign files may be replaced."""
    shop.to = replace(shop.to, naming=Naming("{stem}.webp"), existing=policy)
    shop.drop("a/x.jpg", b"second")
    shop.run_all()
    assert shop.files("out") == {"a/x.webp": b"sharp photo", "a/x-2.webp": b"sharp second"}


def test_skipped_before_the_work(shop: CommitShop) -> None:
    """With `existing = "skip"` nothing is computed, and the source is never disposed of."""
    shop.to = replace(shop.to, existing=ExistingPolicy.SKIP, source=SourcePolicy.DELETE)
    (shop.home / "out/a").mkdir()
    (shop.home / "out/a/x.png").write_bytes(b"foreign")
    done = shop.prepare(shop.claim())
    assert isinstance(done, Committed)
    assert done.kept_existing
    assert shop.files("in") == {"a/x.png": b"photo"}
    assert shop.state() is State.DISPOSED


@pytest.mark.parametrize("policy", ExistingPolicy)
def test_nothing_to_skip(shop: CommitShop, policy: ExistingPolicy) -> None:
    """Where there is no foreign file there is work to do."""
    shop.to = replace(shop.to, existing=policy)
    assert isinstance(shop.prepare(shop.claim()), Prepared)
    assert shop.state() is State.RUNNING


@pytest.mark.parametrize("source", SourcePolicy)
def test_changed_source_stays(shop: CommitShop, source: SourcePolicy) -> None:
    """A source that is no longer the file that was processed is not touched."""
    shop.to = replace(shop.to, source=source)
    job = shop.claim()
    attempt = shop.work(job)
    (shop.home / "in/a/x.png").write_bytes(b"newer content")
    shop.commit(job, attempt)
    assert shop.files("in") == {"a/x.png": b"newer content"}
    assert shop.files("archive") == {}


@pytest.mark.parametrize("source", SourcePolicy)
def test_vanished_source_is_no_fault(shop: CommitShop, source: SourcePolicy) -> None:
    """A source that is gone when its turn comes needs no disposal."""
    shop.to = replace(shop.to, source=source)
    job = shop.claim()
    attempt = shop.work(job)
    (shop.home / "in/a/x.png").unlink()
    (shop.home / "in/a").rmdir()
    shop.commit(job, attempt)
    assert shop.state() is State.DISPOSED


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_full_disk_before_the_rename(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A full disk pauses the folder, spends no attempt, and leaves a job to finish later."""
    job = shop.claim()
    attempt = shop.work(job)
    with monkeypatch.context() as patched:
        patched.setattr("sharpend.commit.local_folder.rename_without_clobbering", failing(number))
        with pytest.raises(FolderFaultError, match=r"folder in: .*`output`"):
            shop.commit(job, attempt)
        (left,) = shop.committer.recover(shop.to, NOW)
        assert isinstance(left, Unfinished)
        assert isinstance(left.error, FolderFaultError)
    assert shop.state() is State.STAGED
    assert remove_stale_temps(shop.ledger, shop.names, shop.to.output_root) == 0
    (done,) = shop.committer.recover(shop.to, NOW)
    assert isinstance(done, Committed)
    assert shop.files("out") == {"a/x.png": b"sharp photo"}


def test_failing_fsync_after_the_rename(shop: CommitShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error after the rename leaves the job staged: the output is recognised, not doubled."""
    with monkeypatch.context() as patched:
        patched.setattr("sharpend.commit.local_folder.fsync_directory", failing(errno.EIO))
        with pytest.raises(FolderFaultError):
            shop.run()
    assert shop.state() is State.STAGED
    assert len(list(shop.committer.recover(shop.to, NOW))) == 1
    assert shop.files("out") == {"a/x.png": b"sharp photo"}


def test_full_disk_before_staging(shop: CommitShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault before anything is recorded gives the attempt back and leaves no litter."""
    job = shop.claim()
    attempt = shop.work(job)
    with monkeypatch.context() as patched:
        patched.setattr("sharpend.commit.local_folder.fingerprint_at", failing(errno.ENOSPC))
        with pytest.raises(FolderFaultError):
            shop.commit(job, attempt)
    assert shop.state() is State.PENDING
    assert shop.files("out") == {}
    assert shop.claim().attempts == 1


def deny_creation(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the file system refuse new files and folders of any name with an errno."""
    opened = os.open

    def only_existing(path: object, flags: int, *rest: object, **named: object) -> int:
        if flags & os.O_CREAT:
            raise OSError(number, os.strerror(number))
        return opened(path, flags, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", only_existing)
    monkeypatch.setattr(os, "mkdir", failing(number))


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.EACCES, Reason.PERMISSION_DENIED), (errno.EBUSY, Reason.IO_ERROR)],
)
def test_fault_of_one_subfolder(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch, number: int, reason: Reason
) -> None:
    """Where the root is not to blame as a whole, only this file is put off."""
    deny_creation(monkeypatch, number)
    with pytest.raises(TransientError) as raised:
        shop.prepare(shop.claim())
    assert raised.value.reason is reason


def test_denied_root_pauses_the_folder(shop: CommitShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root that may not be written is the folder's fault, with the setting named."""
    deny_creation(monkeypatch, errno.EACCES)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FolderFaultError, match="`output`"):
        shop.prepare(shop.claim())


@pytest.mark.parametrize("replaced", [True, False])
def test_unmounted_output_root(shop: CommitShop, *, replaced: bool) -> None:
    """A root that is gone or is another folder is neither written nor made."""
    root = shop.home / "out"
    shop.to.guard.identities[shop.to.output_root] = look(shop.to.output_root)
    job = shop.claim()
    attempt = shop.work(job)
    root.rename(shop.home / "away")
    if replaced:
        root.mkdir()
    with pytest.raises(FolderFaultError, match="folder in"):
        shop.commit(job, attempt)
    assert root.exists() == replaced
    assert shop.state() is State.PENDING
    with pytest.raises(FolderFaultError):
        shop.prepare(job)


@pytest.mark.parametrize("source", [SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
def test_archive_fault_is_made_good_later(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch, source: SourcePolicy
) -> None:
    """The output is in place; a disposal that fails is repeated when the folder resumes."""
    shop.to = replace(shop.to, source=source)
    with monkeypatch.context() as patched:
        patched.setattr("sharpend.commit.local_place.relocate", failing(errno.ENOSPC))
        patched.setattr("sharpend.commit.local_place.LocalSource.delete", failing(errno.EROFS))
        with pytest.raises(FolderFaultError):
            shop.run()
    assert shop.state() is State.DONE
    assert shop.files("in") == {"a/x.png": b"photo"}
    assert len(list(shop.committer.recover(shop.to, NOW))) == 1
    assert shop.files("in") == {}
    assert shop.state() is State.DISPOSED


def test_a_source_that_waited_for_its_archive_was_not_let_go(shop: CommitShop) -> None:
    """Replaced while the archive's disk was away: the output follows, as it does where it stays."""
    archive = os.fsencode(shop.home / "archive")
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    shop.to.guard.identities[archive] = look(archive)
    (shop.home / "archive").rename(shop.home / "away")
    with pytest.raises(FolderFaultError):
        shop.run()
    shop.drop("a/x.png", b"another")
    (shop.home / "away").rename(shop.home / "archive")
    list(shop.committer.recover(shop.to, NOW))
    shop.run_all()
    assert shop.files("out") == {"a/x.png": b"sharp another"}
    assert shop.files("archive") == {"a/x.png": b"another"}


def test_busy_source_is_let_go_later(shop: CommitShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A passing fault of the disposal is a warning; the job is finished all the same."""
    shop.to = replace(shop.to, source=SourcePolicy.DELETE)
    with monkeypatch.context() as patched:
        patched.setattr("sharpend.commit.local_place.LocalSource.delete", failing(errno.EBUSY))
        assert "busy" in shop.run().warning
    assert shop.state() is State.DONE
    list(shop.committer.recover(shop.to, NOW))
    assert shop.files("in") == {}


@pytest.mark.parametrize("source", [SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
@pytest.mark.parametrize("disks", [1, 2])
def test_what_is_still_open_is_disposed_of_later(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch, source: SourcePolicy, disks: int
) -> None:
    """A source that looks finished, but is open for writing, stays until it is closed."""
    if disks == 2:
        across_disks(monkeypatch)
    shop.to = replace(shop.to, source=source)
    with (shop.home / "in/a/x.png").open("ab"):
        done = shop.run()
        assert (done.disposal_pending, "open for writing" in done.warning) == (True, True)
        list(shop.committer.recover(shop.to, NOW))
        assert (shop.files("in"), shop.files("archive")) == ({"a/x.png": b"photo"}, {})
    list(shop.committer.recover(shop.to, NOW))
    assert (shop.files("in"), shop.state()) == ({}, State.DISPOSED)


@pytest.mark.parametrize("source", [SourcePolicy.ARCHIVE, SourcePolicy.DELETE])
def test_what_is_appended_after_the_output_is_no_other_image(
    shop: CommitShop, source: SourcePolicy
) -> None:
    """A file that was finished too early, and then grew, replaces its own output."""
    shop.to = replace(shop.to, source=source)
    path = shop.home / "in/a/x.png"
    with path.open("ab") as file:
        shop.run()
        file.write(b" and more")
    list(shop.committer.recover(shop.to, NOW))
    entry = (b"a/x.png", Fingerprint.of(path.stat()))
    assert shop.ledger.add("in", shop.ledger.unknown("in", [entry]), NOW).jobs == 1
    shop.run()
    assert (shop.files("in"), shop.files("out")) == ({}, {"a/x.png": b"sharp photo and more"})


def test_a_source_that_changes_during_the_copy_stays(
    shop: CommitShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nobody can say who has it open: the copy is thrown away, not the original."""
    across_disks(monkeypatch)
    monkeypatch.setattr("sharpend.commit.source.read_lease", lambda _: nullcontext(NO_LEASE))
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    source, real = shop.home / "in/a/x.png", os.utime

    def utime(descriptor: int, *, ns: tuple[int, int]) -> None:
        with source.open("ab") as file:
            file.write(b" and more")
        real(descriptor, ns=ns)

    with monkeypatch.context() as patched:
        patched.setattr(os, "utime", utime)
        assert "still being written" in shop.run().warning
    assert shop.files("in") == {"a/x.png": b"photo and more"}
    assert shop.files("archive") == {}


def test_archive_that_can_never_take_the_source(shop: CommitShop) -> None:
    """A link in the archive's way keeps the source in its place, with a warning, for good."""
    shop.to = replace(shop.to, source=SourcePolicy.ARCHIVE)
    (shop.home / "archive/a").symlink_to(shop.home)
    assert "is in its way" in shop.run().warning
    assert shop.state() is State.DISPOSED
    assert shop.files("in") == {"a/x.png": b"photo"}


@pytest.mark.parametrize("name", ["-n.png", " .png", "new\nline.png", "{ext}.png", "\udcff.png"])
def test_awkward_names(shop: CommitShop, name: str) -> None:
    """Names are bytes: spaces, newlines, braces and broken UTF-8 pass through."""
    shop.run()
    shop.drop(name)
    assert shop.run().output == os.fsencode(name)
    assert shop.files("out")[name] == b"sharp photo"


def test_a_name_that_cannot_be_shortened_is_refused_before_the_work(shop: CommitShop) -> None:
    """An output name that cannot exist is refused when the job is prepared."""
    shop.to = replace(shop.to, naming=Naming("n" * 256 + "{stem}{ext}"))
    with pytest.raises(ImageRefusedError) as refused:
        shop.prepare(shop.claim())
    assert refused.value.reason is Reason.NAME_TOO_LONG
    assert refused.value.setting == "folder.output_name"


def test_template_cannot_leave_the_root(shop: CommitShop) -> None:
    """A template that climbs out of the root is refused for every file."""
    shop.to = replace(shop.to, naming=Naming("../../{stem}{ext}"))
    with pytest.raises(ImageRefusedError):
        shop.prepare(shop.claim())


def test_only_our_stale_temps_are_removed(shop: CommitShop, tmp_path: Path) -> None:
    """Another's staged file, and what merely looks alike, stays; a signal can end the look."""
    ours = TempNames(tmp_path / "state").new(7)
    theirs = TempNames(tmp_path / "other").new(7)
    odd = ours.replace(b".tmp", b".tmp~")
    folder = shop.home / "out/deep"
    folder.mkdir()
    for name in (ours, theirs, odd):
        (folder / os.fsdecode(name)).touch()
    assert remove_stale_temps(shop.ledger, shop.names, shop.to.output_root, lambda: False) == 0
    assert remove_stale_temps(shop.ledger, shop.names, shop.to.output_root) == 1
    assert {os.fsencode(path.name) for path in folder.iterdir()} == {theirs, odd}


def test_reason_of_a_bad_generation_goes(shop: CommitShop) -> None:
    """A refusal that comes after the file was replaced goes when the new file is finished."""
    bad = shop.claim()
    shop.drop("a/x.png", b"good")
    note = shop.home / "x.reason.json"
    note.touch()
    shop.ledger.quarantine(bad, QuarantineReason(Reason.DAMAGED, "damaged"), NOW)
    shop.ledger.noted(bad, os.fsencode(note), None)
    shop.run()
    assert not note.exists()
