"""Transfers between object storage and workers, with workers that end as the test says."""

from __future__ import annotations

import os
import queue
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sharpend.attempt import AttemptResult, Died, Failed, Failure, Staged
from sharpend.commit.places import place_of
from sharpend.errors import Reason
from sharpend.files.fingerprint import Fingerprint
from sharpend.files.objects.bucket import Bucket
from sharpend.files.objects.uploads import OUTPUT, Uploads
from sharpend.task import Options, Task
from sharpend.workers.transfers import Transfers
from tests.fakes import FakePool
from tests.store_server import StoreServer, objects, open_uploads, put

WITHIN_S = 60.0


class Bench:
    """Transfers around two workers, and one bucket."""

    def __init__(self, home: Path, store: StoreServer) -> None:
        self.home = home
        self.bucket = store.bucket()
        self.pool = FakePool(2)
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()
        spool = os.fsencode(home / "spool")
        self.uploads = Uploads(spool)
        self.transfers = Transfers(
            self.pool,
            spool,
            lambda: self._woken.put(None),
            lambda root: place_of(root, self.uploads),
        )

    def task(self, number: int = 1, key: str = "in/a.png", body: bytes = b"photo") -> Task:
        """A task for an object that is written now."""
        put(self.bucket, key, body)
        source = Bucket(f"s3://{self.bucket}/in".encode())
        return Task(
            number,
            f"s3://{self.bucket}/in".encode(),
            f"s3://{self.bucket}/out".encode(),
            source.address.relative(key) or b"",
            b"",
            b".sharpend-%d.tmp" % number,
            source.head(key).as_input,
            Options("lite-x4"),
            output_name=b"a.png",
        )

    def ended(self) -> list[AttemptResult]:
        """What ends with the next transfer."""
        self._woken.get(timeout=WITHIN_S)
        return list(self.transfers.finished(time.monotonic()))

    def submitted(self, task: Task) -> Task:
        """Submit a task; return it as a worker sees it."""
        self.transfers.submit(task, 0.0)
        assert self.ended() == []
        return self.pool.submitted[-1]

    def refused(self, task: Task) -> Failed:
        """Submit a task that never gets to a worker; return its failure."""
        self.transfers.submit(task, 0.0)
        (outcome,) = self.ended()
        assert isinstance(outcome, Failed)
        assert (self.pool.submitted, self.transfers.running) == ([], [])
        assert not any((self.home / "spool").glob("*"))
        return outcome

    def made(self, local: Task, body: bytes = b"sharp") -> None:
        """Let the worker finish its task."""
        path = Path(os.fsdecode(os.path.join(local.output_root, local.temp_name)))
        path.write_bytes(body)
        mark = Fingerprint.of(path.stat())
        self.pool.tasks.remove(local)
        self.pool._outcomes.append(Staged(local.job_id, local.temp_name, mark, 1, 1, 1))


@pytest.fixture
def bench(tmp_path: Path, store: StoreServer) -> Bench:
    """Transfers around two workers."""
    return Bench(tmp_path, store)


def test_a_worker_sees_files_alone(bench: Bench) -> None:
    """Its task has folders of this machine; what comes back is a staged upload of our attempt."""
    task = bench.task()
    local = bench.submitted(task)
    assert local.input_root.startswith(os.fsencode(bench.home))
    path = Path(os.fsdecode(os.path.join(local.input_root, local.relative)))
    assert (path.read_bytes(), path.suffix) == (b"photo", ".png")
    assert local.fingerprint == Fingerprint.of(path.stat())
    assert path.stat().st_mtime == task.fingerprint.mtime_ns // 10**9
    bench.made(local)
    assert list(bench.transfers.finished(0.0)) == []
    (staged,) = bench.ended()
    assert isinstance(staged, Staged)
    assert (staged.temp_name, staged.fingerprint.size) == (task.temp_name, 5)
    assert (open_uploads(bench.bucket), "out/a.png" in objects(bench.bucket)) == (1, False)
    assert bench.transfers.running == []


def test_folders_of_both_kinds(bench: Bench, tmp_path: Path) -> None:
    """An input or an output on a disk is used where it is."""
    task = bench.task()
    assert bench.submitted(replace(task, output_root=b"/out")).output_root == b"/out"
    local = bench.submitted(replace(task, job_id=2, temp_name=b"t", input_root=b"/in"))
    assert (local.input_root, local.relative) == (b"/in", task.relative)
    assert local.output_root.startswith(os.fsencode(tmp_path))


def set_aside(bench: Bench) -> tuple[Task, Staged]:
    """A task whose image was uploaded, and set aside by its commit; the next attempt at it."""
    task = bench.task()
    bench.made(bench.submitted(task))
    assert list(bench.transfers.finished(0.0)) == []
    (staged,) = bench.ended()
    assert isinstance(staged, Staged)
    bench.uploads.set_aside(staged.temp_name)
    return replace(task, temp_name=b".sharpend-2.tmp", output_name=b"a-2.png"), staged


def test_a_finished_image_is_uploaded_under_another_name(bench: Bench) -> None:
    """Its name was taken: it is sent anew by a thread, and no worker has it twice."""
    task, first = set_aside(bench)
    bench.transfers.submit(task, 0.0)
    (second,) = bench.ended()
    assert isinstance(second, Staged)
    assert (len(bench.pool.submitted), second.height) == (1, first.height)
    bench.uploads.publish(second.temp_name, b"a-2.png", None)
    assert objects(bench.bucket)["out/a-2.png"] == b"sharp"
    assert (open_uploads(bench.bucket), bench.uploads.attempts()) == (0, [])


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_finished_image_of_other_work_is_made_anew(bench: Bench, *, is_gone: bool) -> None:
    """With other options, or where its file is gone, a worker gets the task."""
    task, first = set_aside(bench)
    if is_gone:
        bench.uploads.forget(first.temp_name)
    else:
        task = replace(task, options=Options("lite-x4", strength=0.5))
    bench.submitted(task)
    assert len(bench.pool.submitted) == 2


def test_tasks_of_disks_pass_through(bench: Bench) -> None:
    """They wait only while no worker is free."""
    task = replace(bench.task(), input_root=b"/in", output_root=b"/out")
    for number in range(4):
        bench.transfers.submit(replace(task, job_id=number), 0.0)
    assert (len(bench.pool.tasks), bench.transfers.free) == (2, 0)
    with pytest.raises(StopIteration):
        bench.transfers.submit(replace(task, job_id=9), 0.0)
    bench.pool._outcomes.append(Died(0, "SIGKILL"))
    bench.pool.tasks.pop(0)
    assert [one.job_id for one in bench.transfers.finished(0.0)] == [0]
    assert [one.job_id for one in bench.pool.tasks] == [1, 2]


def test_an_object_that_was_replaced_has_changed(bench: Bench) -> None:
    """Between listing and reading: it is listed again."""
    task = bench.task()
    put(bench.bucket, "in/a.png", b"other")
    assert bench.refused(task).failure is Failure.CHANGED


def test_an_object_that_is_gone(bench: Bench) -> None:
    """It vanished, as a file does."""
    task = replace(bench.task(), relative=b"gone.png")
    assert bench.refused(task).failure is Failure.VANISHED


def test_a_gigantic_object_is_refused_before_it_is_read(bench: Bench, store: StoreServer) -> None:
    """Its size is known from the list."""
    task = bench.task(body=b"12345")
    store.asked.clear()
    failed = bench.refused(replace(task, options=Options("lite-x4", max_bytes=4)))
    assert (failed.failure, failed.reason) == (Failure.REFUSED, Reason.TOO_MANY_BYTES)
    assert (failed.setting, store.asked) == ("limits.max_megabytes", [])


def test_a_name_without_a_key_is_refused_before_the_work(bench: Bench) -> None:
    """No byte is read for it."""
    failed = bench.refused(replace(bench.task(), output_name=b"\xff.png"))
    assert (failed.failure, failed.reason) == (Failure.REFUSED, Reason.NAME_NOT_POSSIBLE)


def test_one_object_that_is_closed_to_us(bench: Bench, store: StoreServer) -> None:
    """Only it fails; a bucket that is closed pauses the folder."""
    task = bench.task()
    store.refuses = lambda asked: (403, "AccessDenied") if asked == "get" else None
    failed = bench.refused(task)
    assert (failed.failure, failed.reason) == (Failure.TRANSIENT, Reason.PERMISSION_DENIED)
    store.refuses = lambda _: (403, "AccessDenied")
    assert bench.refused(task).failure is Failure.FOLDER


@pytest.mark.parametrize(
    ("status", "code"), [(400, "InvalidRequest"), (400, "KMS.DisabledException"), (404, "Odd")]
)
@pytest.mark.parametrize("refused", ["get", "create", "send"])
def test_one_object_that_the_store_refuses(
    bench: Bench, store: StoreServer, refused: str, status: int, code: str
) -> None:
    """A code that nobody knows is of that object, as long as the store lists."""
    task = bench.task()
    store.refuses = lambda asked: (status, code) if asked == refused else None
    bench.transfers.submit(task, 0.0)
    if refused != "get":
        assert bench.ended() == []
        bench.made(bench.pool.submitted[-1])
        assert list(bench.transfers.finished(0.0)) == []
    (failed,) = bench.ended()
    assert isinstance(failed, Failed)
    assert (failed.failure, failed.reason) == (Failure.TRANSIENT, Reason.IO_ERROR)
    assert code in failed.message
    assert not any((bench.home / "spool").glob("*"))


@pytest.mark.parametrize(("status", "refused"), [(400, {"get", "list"}), (408, {"get"})])
def test_a_store_that_refuses_everything_pauses_the_folder(
    bench: Bench, store: StoreServer, status: int, refused: set[str]
) -> None:
    """Its list is refused as well, or it asks to come back later: that is no object's fault."""
    task = bench.task()
    store.refuses = lambda asked: (status, "Odd") if asked in refused else None
    assert bench.refused(task).failure is Failure.FOLDER


def test_a_store_out_of_reach_pauses_the_folder(bench: Bench, store: StoreServer) -> None:
    """The message names the setting; the upload that was begun is dropped at the next start."""
    task = bench.task()
    store.refuses = lambda _: (403, "ExpiredToken")
    failed = bench.refused(task)
    assert failed.failure is Failure.FOLDER
    assert failed.message.startswith(f"folder.input: s3://{bench.bucket}/in: ")


def test_a_full_disk_of_the_spool_pauses_the_folder(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the state directory's, and no fault of the image."""
    task = bench.task()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sharpend.files.objects.download.os.utime", full)
    failed = bench.refused(task)
    assert (failed.failure, failed.message[:7]) == (Failure.FOLDER, "state: ")


def test_an_upload_that_fails_leaves_nothing(bench: Bench, store: StoreServer) -> None:
    """Neither files in the spool nor an open upload."""
    local = bench.submitted(bench.task())
    bench.made(local)
    store.refuses = lambda asked: (403, "QuotaExceeded") if asked == "send" else None
    assert list(bench.transfers.finished(0.0)) == []
    (failed,) = bench.ended()
    assert isinstance(failed, Failed)
    assert "the store is full" in failed.message
    assert open_uploads(bench.bucket) == 0


def test_an_outage_keeps_records_and_no_bytes(bench: Bench, store: StoreServer) -> None:
    """However long it lasts, finished images do not fill the disk; later all is dropped."""
    task = bench.task()
    bench.made(bench.submitted(task))
    store.refuses = lambda _: (503, "SlowDown")
    assert list(bench.transfers.finished(0.0)) == []
    (failed,) = bench.ended()
    assert isinstance(failed, Failed)
    assert failed.failure is Failure.FOLDER
    left = [path.name for path in (bench.home / "spool").rglob("*") if path.is_file()]
    assert left == ["upload.json"]
    store.reset()
    bench.uploads.discard(task.temp_name)
    assert (open_uploads(bench.bucket), bench.uploads.attempts()) == (0, [])


def test_an_upload_that_cannot_be_dropped_is_staged_no_more(
    bench: Bench, store: StoreServer
) -> None:
    """Its record stays, so that it can be dropped later."""
    (bench.uploads.folder(b"t") / OUTPUT).write_bytes(b"sharp")
    bench.uploads.upload(b"t", f"s3://{bench.bucket}/out".encode(), b"a.png")
    store.refuses = lambda _: (503, "SlowDown")
    with pytest.raises(OSError, match="SlowDown"):
        bench.uploads.discard(b"t")
    assert bench.uploads.staged(b"t") is None
    store.reset()
    bench.uploads.discard(b"t")
    assert (open_uploads(bench.bucket), bench.uploads.attempts()) == (0, [])
