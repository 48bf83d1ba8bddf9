"""What follows from the end of an attempt: each kind of news has one consequence."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from sharpend.attempt import Failure
from sharpend.commit import committer, local_folder
from sharpend.commit.disposer import SourceDisposal
from sharpend.daemon.attempts import RetryOptions
from sharpend.errors import FolderFaultError, Reason, TransientError
from sharpend.ledger.ledger import GIVE_UP_AFTER_ORPHANS
from sharpend.ledger.records import State
from sharpend.logs.events import Event
from sharpend.policies import ExistingPolicy, Losses, Policies, SourcePolicy
from tests.fakes import PICTURE, Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """One folder, one worker."""
    made = Shop(tmp_path)
    yield made
    made.close()


# Good news


def test_a_staged_file_becomes_the_output(shop: Shop) -> None:
    """Good news is published under the input's own path, and the source is kept."""
    source = shop.take("d/a.png")
    staged = shop.pool.stage()
    shop.conclude()
    assert shop.made() == ["d/a.png"]
    assert (shop.home / "in-out/d/a.png").read_bytes() == PICTURE + b"d/a.png"
    assert source.exists()
    assert shop.count(State.DISPOSED) == 1
    (told,) = shop.log.of(Event.IMAGE_FINISHED)
    assert (told["outcome"], told["path"], told["attempts"]) == ("sharpened", b"d/a.png", 1)
    assert (told["height"], told["width"], told["infer_s"]) == (480, 640, 0.2)
    (result,) = shop.results
    assert (result.outcome, result.output, result.staged) == ("sharpened", b"d/a.png", staged)
    assert result.seconds > 0


def test_notes_reach_the_log(shop: Shop) -> None:
    """Notes on what the output has differently are in the event of the image."""
    shop.take()
    shop.pool.stage(notes=("its palette was written as RGB",))
    shop.conclude()
    assert shop.log.of(Event.IMAGE_FINISHED)[0]["notes"] == ["its palette was written as RGB"]


@pytest.mark.parametrize("policy", [Losses.KEEP, Losses.ACCEPT])
@pytest.mark.parametrize("source", SourcePolicy)
def test_a_source_with_more_than_its_output_is_not_deleted_unless_that_is_accepted(
    tmp_path: Path, policy: Losses, source: SourcePolicy
) -> None:
    """Its losses are reported, and why it stays; an archive loses nothing."""
    archive = tmp_path / "archive" if source is SourcePolicy.ARCHIVE else None
    root = archive and os.fsencode(archive)
    shop = Shop(tmp_path, policies=Policies(losses=policy), source=source, archive_root=root)
    path = shop.take(content=b"with a depth map")
    shop.pool.stage(losses=("its depth map was not kept",))
    shop.conclude()
    (told,) = shop.log.of(Event.IMAGE_FINISHED)
    assert told["losses"] == ["its depth map was not kept"]
    stays = source is SourcePolicy.DELETE and policy is Losses.KEEP
    assert path.exists() == (stays or source is SourcePolicy.KEEP)
    assert ("warning" in told) == stays
    assert not stays or "its depth map" in told["warning"]
    assert not stays or "pictures.losses" in shop.results[0].warning
    assert shop.count(State.DISPOSED) == 1
    shop.close()


def test_a_picture_that_was_passed_on_is_unchanged(shop: Shop) -> None:
    """Its output is in place, its source is disposed of, and the event has its cue."""
    shop.take()
    shop.pool.stage(pixels=0, frames=0, sharpness=-0.1234, notes=("it is sharp already",))
    shop.conclude()
    (told,) = shop.log.of(Event.IMAGE_FINISHED)
    assert (told["outcome"], told["sharpness"]) == ("unchanged", -0.123)
    assert told["notes"] == ["it is sharp already"]
    assert shop.results[0].outcome == "unchanged"
    assert shop.made() == ["a.png"]
    assert shop.count(State.DISPOSED) == 1
    assert shop.measurements.throughput.total_copied == 1


@pytest.mark.parametrize("policy", [SourcePolicy.DELETE, SourcePolicy.ARCHIVE])
def test_the_source_goes_where_its_folder_says(tmp_path: Path, policy: SourcePolicy) -> None:
    """Once the output is in place the source is archived or deleted."""
    archive = tmp_path / "archive"
    shop = Shop(tmp_path, source=policy, archive_root=os.fsencode(archive))
    source = shop.take(content=b"original")
    shop.pool.stage()
    shop.conclude()
    assert not source.exists()
    archived = [path.read_bytes() for path in archive.iterdir()]
    assert archived == ([b"original"] if policy is SourcePolicy.ARCHIVE else [])
    shop.close()


def test_a_source_that_is_busy_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output is finished once, however often letting its source go is tried again."""
    shop = Shop(tmp_path, source=SourcePolicy.DELETE)
    source = shop.take()
    with monkeypatch.context() as busy:
        busy.setattr(SourceDisposal, "look", raising(TransientError(Reason.IO_ERROR, "busy")))
        shop.pool.stage()
        shop.conclude()
        assert shop.count(State.DONE) == 1
        shop.turn(after_s=31)
        shop.turn(after_s=31)
        assert source.exists()
    shop.turn(after_s=31)
    assert not source.exists()
    assert shop.count(State.DISPOSED) == 1
    assert len(shop.log.of(Event.IMAGE_FINISHED)) == len(shop.results) == 1
    assert shop.log.of(Event.IMAGE_FINISHED)[0]["warning"] == "busy"
    shop.close()


def test_an_existing_foreign_file_is_left_alone(tmp_path: Path) -> None:
    """With `existing = "skip"` the input is finished, unchanged, before a worker sees it."""
    shop = Shop(tmp_path, existing=ExistingPolicy.SKIP)
    (tmp_path / "in-out/a.png").write_bytes(b"somebody's")
    os.utime(tmp_path / "in-out/a.png", (1, 1))  # an output of ours has its source's time
    shop.take()
    assert shop.pool.submitted == []
    (result,) = shop.results
    assert result.outcome == "unchanged"
    assert shop.log.of(Event.IMAGE_FINISHED)[0]["outcome"] == "unchanged"
    assert (tmp_path / "in-out/a.png").read_bytes() == b"somebody's"
    assert shop.measurements.throughput.total_images == 0
    shop.close()


# Bad images


def test_a_refused_picture_is_quarantined(shop: Shop) -> None:
    """What cannot help itself goes to quarantine at once, with a reason that people can read."""
    source = shop.take()
    shop.pool.fail(Failure.REFUSED, Reason.TRUNCATED)
    shop.conclude()
    assert shop.count(State.QUARANTINED) == 1
    assert source.exists()
    (told,) = shop.log.of(Event.IMAGE_QUARANTINED)
    assert (told["error_code"], told["attempts"]) == (Reason.TRUNCATED, 1)
    assert (shop.results[0].outcome, shop.results[0].reason) == ("quarantined", Reason.TRUNCATED)
    note = json.loads((shop.home / "state/quarantine/in/a.png.reason.json").read_bytes())
    assert note["code"] == "truncated"
    assert shop.measurements.throughput.total_failures == 1


def test_a_vanished_picture_is_forgotten(shop: Shop) -> None:
    """A deleted input ends quietly, and a file that comes back is a new input."""
    source = shop.take()
    source.unlink()
    shop.pool.fail(Failure.VANISHED)
    shop.conclude()
    assert shop.count(State.VANISHED) == 1
    assert len(shop.log.of(Event.IMAGE_VANISHED)) == 1
    assert shop.results == []
    shop.take()
    assert len(shop.pool.tasks) == 1


def test_a_changed_picture_settles_again(shop: Shop) -> None:
    """A file that changed after it had settled is taken back, and its new content sharpened."""
    source = shop.take()
    source.write_bytes(b"the new content")
    shop.pool.fail(Failure.CHANGED)
    shop.conclude()
    assert not shop.dispatcher.is_done
    shop.settle()
    (task,) = shop.pool.tasks
    assert task.fingerprint.size == len(b"the new content")


# Failures that may pass


def test_waits_double_up_to_the_longest() -> None:
    """5, 10, 20, … seconds, never more than the longest, for any number of attempts."""
    retry = RetryOptions(first_s=5, longest_s=600)
    assert [retry.wait_s(n) for n in (1, 2, 3, 7, 8, 9, 10_000)] == [5, 10, 20, 320, 600, 600, 600]


def test_a_transient_failure_is_tried_again_later(tmp_path: Path) -> None:
    """The job is deferred with its reason, and nobody gets it before its time."""
    shop = Shop(tmp_path, retry=RetryOptions(attempts=3, first_s=100))
    shop.take()
    shop.pool.fail(Failure.TRANSIENT, Reason.IO_ERROR)
    shop.conclude()
    shop.turn()
    assert shop.count(State.DEFERRED) == 1
    assert shop.pool.tasks == []
    (told,) = shop.log.of(Event.IMAGE_RETRIED)
    assert (told["error_code"], told["wait_s"], told["stage"]) == (Reason.IO_ERROR, 100, "decode")
    assert not shop.dispatcher.is_done
    shop.close()


def test_the_last_attempt_ends_in_quarantine(shop: Shop) -> None:
    """After `retry.attempts` the input is given up, with the last reason and the setting."""
    shop.take()
    for _ in range(3):
        assert len(shop.pool.tasks) == 1
        shop.pool.fail(Failure.TRANSIENT, Reason.IO_ERROR)
        shop.turn()
    assert shop.count(State.QUARANTINED) == 1
    assert [told["attempts"] for told in shop.log.of(Event.IMAGE_RETRIED)] == [1, 2]
    (told,) = shop.log.of(Event.IMAGE_QUARANTINED)
    assert (told["error_code"], told["attempts"]) == (Reason.IO_ERROR, 3)
    assert told["setting"] == "retry.attempts"


def test_a_failed_commit_is_tried_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while the output is put in its place costs an attempt and leaves no litter."""
    shop.take()
    with monkeypatch.context() as broken:
        broken.setattr(committer, "choose", raising(OSError(5, "Input/output error")))
        shop.pool.stage()
        shop.conclude()
    assert shop.count(State.DEFERRED) == 1
    assert shop.log.of(Event.IMAGE_RETRIED)[0]["stage"] == "commit"
    assert shop.made() == []


# Dead workers


def test_one_death_is_forgiven(shop: Shop) -> None:
    """A worker's death costs the image an attempt, and what it left half-written goes."""
    shop.take()
    (task,) = shop.pool.tasks
    half = shop.home / "in-out" / os.fsdecode(task.temp_name)
    half.write_bytes(b"half")
    shop.pool.die("SIGKILL")
    shop.conclude()
    assert not half.exists()
    assert shop.count(State.DEFERRED) == 1
    (told,) = shop.log.of(Event.WORKER_DIED)
    assert (told["cause"], told["path"]) == ("SIGKILL", b"a.png")


@pytest.mark.parametrize("setting", [None, "workers.job_timeout_s", "workers.memory_mb"])
def test_two_deaths_quarantine(shop: Shop, setting: str | None) -> None:
    """An image that costs two workers is poison; a limit that ended them is named."""
    shop.take()
    shop.pool.die(setting=setting)
    shop.turn()
    shop.pool.die(setting=setting)
    shop.turn()
    assert shop.count(State.QUARANTINED) == 1
    (told,) = shop.log.of(Event.IMAGE_QUARANTINED)
    assert (told["error_code"], told["attempts"]) == (Reason.WORKER_DIED, 2)
    assert told["setting"] == setting


def test_a_limit_met_twice_quarantines(shop: Shop) -> None:
    """A fresh worker had no more memory for it: the setting is named, and nothing tried again."""
    shop.take()
    shop.pool.fail(Failure.TRANSIENT, Reason.OUT_OF_MEMORY, setting="workers.memory_mb")
    shop.turn()
    assert shop.count(State.QUARANTINED) == 0
    shop.pool.fail(Failure.TRANSIENT, Reason.OUT_OF_MEMORY, setting="workers.memory_mb")
    shop.turn()
    assert shop.count(State.QUARANTINED) == 1
    (told,) = shop.log.of(Event.IMAGE_QUARANTINED)
    assert (told["error_code"], told["setting"]) == (Reason.OUT_OF_MEMORY, "workers.memory_mb")
    assert told["attempts"] == 2


def test_a_death_after_another_failure_is_the_first(shop: Shop) -> None:
    """An image that met a bad disk before is not poison at its first death."""
    shop.take()
    shop.pool.fail(Failure.TRANSIENT, Reason.IO_ERROR)
    shop.turn()
    shop.pool.die()
    shop.turn()
    assert shop.count(State.QUARANTINED) == 0
    assert len(shop.pool.tasks) == 1


# Faults of a whole folder


def test_a_full_disk_spends_no_attempt(shop: Shop) -> None:
    """The folder pauses, the image stays pending, and not one attempt is counted."""
    shop.take()
    shop.pool.fail(Failure.FOLDER)
    shop.conclude()
    assert shop.count(State.PENDING) == 1
    assert shop.dispatcher.folders["in"].paused == "it was folder"
    assert shop.log.of(Event.FOLDER_PAUSED) == [{"folder": "in", "reason": "it was folder"}]
    shop.turn()
    assert shop.pool.tasks == []


def test_a_fault_while_committing_pauses(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output folder that fails at the last step pauses as well, and the work is done again."""
    shop.take()
    (shop.home / "in-out").rename(shop.home / "gone")
    (shop.home / "in-out").mkdir()
    shop.pool.stage()
    shop.conclude()
    assert shop.count(State.PENDING) == 1
    assert "in-out" in (shop.dispatcher.folders["in"].paused or "")
    assert shop.made() == []
    monkeypatch.undo()


def test_a_fault_after_the_rename_is_finished_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was renamed but not yet durable is finished when the folder is, and reported once."""
    shop.take()
    with monkeypatch.context() as broken:
        broken.setattr(local_folder, "fsync_directory", raising(OSError(5, "Input/output error")))
        shop.pool.stage()
        shop.conclude()
        assert shop.count(State.STAGED) == 1
        assert shop.log.of(Event.IMAGE_FINISHED) == []
        shop.turn(after_s=31)
        assert shop.dispatcher.folders["in"].paused
    shop.turn(after_s=31)
    assert shop.count(State.DISPOSED) == 1
    assert shop.made() == ["a.png"]
    (told,) = shop.log.of(Event.IMAGE_FINISHED)
    assert told["recovered"]
    assert [result.outcome for result in shop.results] == ["sharpened"]
    assert shop.dispatcher.folders["in"].paused is None
    assert len(shop.log.of(Event.FOLDER_RESUMED)) == 1


def test_an_archive_that_fails_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is in place, the source waits, and both are right again once the archive is."""
    archive = os.fsencode(tmp_path / "archive")
    shop = Shop(tmp_path, source=SourcePolicy.ARCHIVE, archive_root=archive)
    source = shop.take()
    with monkeypatch.context() as full:
        full.setattr(SourceDisposal, "look", raising(FolderFaultError("the archive is full")))
        shop.pool.stage()
        shop.conclude()
        assert source.exists()
        assert shop.made() == ["a.png"]
        assert shop.dispatcher.folders["in"].paused == "the archive is full"
    shop.turn(after_s=31)
    assert not source.exists()
    assert shop.dispatcher.folders["in"].paused is None
    assert len(shop.results) == 1
    shop.close()


def raising(error: Exception) -> Callable[..., None]:
    """A function that only fails."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_lost_node_is_no_strike(shop: Shop) -> None:
    """Ten nodes lost with one image cost it no attempt; it runs alone then, and is finished."""
    shop.take()
    for _ in range(10):
        shop.pool.lose()
        shop.settle()
    assert shop.count(State.QUARANTINED) == 0
    shop.pool.stage()
    shop.conclude()
    (finished,) = shop.log.of(Event.IMAGE_FINISHED)
    assert finished["attempts"] == 1
    assert len(shop.log.of(Event.WORKER_LOST)) == 10


def test_an_image_that_takes_its_node_down_each_time_is_quarantined(shop: Shop) -> None:
    """After as many nodes as daemons would be lost with it."""
    shop.take()
    for _ in range(GIVE_UP_AFTER_ORPHANS + 1):
        shop.pool.lose()
        shop.settle()
    (refused,) = shop.log.of(Event.IMAGE_QUARANTINED)
    assert refused["error_code"] is Reason.WORKER_DIED
    assert "its worker was lost 13 times" in refused["message"]


def test_a_lost_cluster_counts_for_nothing(shop: Shop) -> None:
    """However often it goes, no image is to blame."""
    shop.take()
    for _ in range(GIVE_UP_AFTER_ORPHANS + 2):
        shop.pool.lose(node="")
        shop.settle()
    assert shop.count(State.QUARANTINED) == 0
    assert shop.pool.submitted[-1].job_id == shop.pool.submitted[0].job_id


def test_faults_of_the_engine_are_reported_once(shop: Shop) -> None:
    """Each is logged when it begins and when it has passed, and degrades the health meanwhile."""
    shop.pool.engine_faults = {"engine": "the head is gone"}
    shop.settle()
    assert shop.log.of(Event.ENGINE_DEGRADED) == [
        {"subject": "engine", "message": "the head is gone"}
    ]
    assert shop.dispatcher.snapshot().health == "degraded"
    shop.pool.engine_faults = {}
    shop.settle()
    assert shop.log.of(Event.ENGINE_RECOVERED) == [{"subject": "engine"}]
    assert shop.dispatcher.snapshot().health == "ok"
