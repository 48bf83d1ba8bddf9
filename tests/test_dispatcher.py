"""Dispatch: which job is next, which images are sampled, and what a restart repairs."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sharpend.agreement.alarm import FEWEST_SAMPLES, AlarmOptions
from sharpend.attempt import Failure
from sharpend.commit.ages import Retention
from sharpend.commit.committer import Committer
from sharpend.commit.names import Naming
from sharpend.commit.results import Committed, Prepared, Unfinished
from sharpend.daemon import assignment
from sharpend.daemon.attempts import RetryOptions
from sharpend.errors import Reason, TransientError
from sharpend.ledger.ledger import GIVE_UP_AFTER_ORPHANS
from sharpend.ledger.records import State
from sharpend.ledger.scheduling import ALONE_AFTER_ORPHANS
from sharpend.logs.events import Event
from sharpend.policies import CollisionPolicy, ExistingPolicy
from tests.fakes import Shop
from tests.samples import sample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sharpend.attempt import AgreementSample
    from sharpend.commit.publication import StagedJob

GOOD = sample(0.99, 0.95, ratio=0.1)
BAD = sample(0.80, 0.95, ratio=0.5)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """One folder, two workers."""
    made = Shop(tmp_path, workers=2)
    yield made
    made.close()


def die(shop: Shop) -> None:
    """The daemon is killed and started again."""
    shop.dispatcher.close()
    shop.ledger.close()
    shop.start()


# Handing out


def test_the_ledger_is_the_queue(shop: Shop) -> None:
    """No more jobs are in memory than there are workers; the others wait in the ledger."""
    for number in range(5):
        shop.drop(f"{number}.png")
    shop.settle()
    assert [task.relative for task in shop.pool.tasks] == [b"0.png", b"1.png"]
    assert shop.count(State.PENDING) == 3
    shop.pool.stage()
    shop.turn()
    assert [task.relative for task in shop.pool.tasks] == [b"1.png", b"2.png"]


def test_a_task_says_all_that_a_worker_needs(shop: Shop) -> None:
    """Roots, path, the output's own folder, a new temporary name, and the settled fingerprint."""
    source = shop.take("d/a.png")
    (task,) = shop.pool.tasks
    assert task.input_root == os.fsencode(shop.home / "in")
    assert task.output_root == os.fsencode(shop.home / "in-out")
    assert (task.relative, task.output_parent) == (b"d/a.png", b"d")
    assert task.fingerprint.inode == source.stat().st_ino
    assert (shop.home / "in-out/d").is_dir()


def test_a_worker_has_its_next_task_before_its_last_result_is_committed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker waits for the disk; a result waits in the ledger for nothing but its commit."""
    for number in range(4):
        shop.drop(f"{number}.png")
    shop.settle()
    at_work: list[list[bytes]] = []
    commit = Committer.commit

    def watched(*given: Any) -> Iterator[tuple[StagedJob, Committed | Unfinished]]:  # noqa: ANN401 - as commit
        at_work.append([task.relative for task in shop.pool.tasks])
        return commit(*given)

    monkeypatch.setattr(Committer, "commit", watched)
    shop.pool.stage()
    shop.turn()
    assert at_work == [[b"1.png", b"2.png"]]
    assert shop.made() == ["0.png"]


def test_a_worker_that_ends_during_a_commit_has_its_next_task_before_the_commit_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker waits for the other's disk; what it has staged is committed in the next turn."""
    for number in range(5):
        shop.drop(f"{number}.png")
    shop.settle()
    shop.pool.stage()
    fsync, finish = os.fsync, shop.ledger.finish
    at_work: list[list[bytes]] = []

    def ending(descriptor: int) -> None:
        fsync(descriptor)
        if shop.pool.tasks[0].relative == b"1.png":
            shop.pool.stage()

    def finishing(*given: Any) -> list[bytes]:  # noqa: ANN401 - as finish
        at_work.append([task.relative for task in shop.pool.tasks])
        return finish(*given)

    monkeypatch.setattr(os, "fsync", ending)
    monkeypatch.setattr(shop.ledger, "finish", finishing)
    shop.turn()
    assert at_work == [[b"2.png", b"3.png"]]
    assert "1.png" not in shop.made()
    shop.turn()
    assert shop.made() == ["0.png", "1.png"]


@pytest.mark.parametrize("failure", [Failure.FOLDER, Failure.TRANSIENT])
def test_a_failure_during_a_commit_is_recorded_before_the_next_task(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, failure: Failure
) -> None:
    """It may pause the folder, so nothing is begun that would fail alike."""
    for number in range(5):
        shop.drop(f"{number}.png")
    shop.settle()
    shop.pool.stage()
    fsync, finish = os.fsync, shop.ledger.finish

    def failing(descriptor: int) -> None:
        fsync(descriptor)
        if shop.pool.tasks[0].relative == b"1.png":
            shop.pool.fail(failure)

    def finishing(*given: Any) -> list[bytes]:  # noqa: ANN401 - as finish
        assert [task.relative for task in shop.pool.tasks] == [b"2.png"]
        return finish(*given)

    monkeypatch.setattr(os, "fsync", failing)
    monkeypatch.setattr(shop.ledger, "finish", finishing)
    shop.turn()
    assert shop.made() == ["0.png"]


def test_a_failure_is_heard_before_the_next_task(shop: Shop) -> None:
    """It may pause the folder, so nothing is begun that would fail alike."""
    for number in range(4):
        shop.drop(f"{number}.png")
    shop.settle()
    shop.pool.fail(Failure.FOLDER)
    shop.turn()
    assert len(shop.pool.submitted) == 2


def test_folders_take_turns(tmp_path: Path) -> None:
    """A folder with many images does not starve the other."""
    shop = Shop(tmp_path, names=("in", "other"))
    for number in range(3):
        shop.drop(f"{number}.png")
    shop.drop("late.png", folder="other")
    shop.settle()
    for _ in range(2):
        shop.pool.stage()
        shop.turn()
    assert b"late.png" in [task.relative for task in shop.pool.submitted[:2]]
    shop.close()


def test_a_new_picture_does_not_wait_behind_a_backlog(shop: Shop) -> None:
    """Where its folder begins with the newest, it is in the next worker's hands."""
    folder = shop.dispatcher.folders["in"]
    folder.plan = replace(folder.plan, newest_first=True)
    for number in range(30):
        shop.drop(f"{number}.png")
    shop.settle()
    shop.drop("new.png")
    shop.settle()
    shop.pool.stage()
    shop.turn()
    assert shop.pool.submitted[-1].relative == b"new.png"
    assert shop.count(State.PENDING) == 30 - shop.pool.count


def test_a_paused_folder_leaves_the_other_alone(tmp_path: Path) -> None:
    """A full disk on one side is no reason to stop on the other."""
    shop = Shop(tmp_path, names=("in", "other"))
    shop.take()
    shop.pool.fail(Failure.FOLDER)
    shop.drop("b.png", folder="other")
    shop.settle()
    assert [task.relative for task in shop.pool.tasks] == [b"b.png"]
    shop.close()


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """An output that no file system would take is known before any work."""
    shop = Shop(tmp_path, naming=Naming("{stem}" + "-sharpened" * 30 + "{ext}"))
    shop.take("x" * 250 + ".png")
    assert shop.pool.submitted == []
    assert shop.results[0].reason is Reason.NAME_TOO_LONG
    shop.close()


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    """Where collisions are refused, the later input is not worked on in vain."""
    refuse = CollisionPolicy.REFUSE
    shop = Shop(tmp_path, naming=Naming("{stem}.out"), collision=refuse)
    shop.take("x.png")
    shop.pool.stage()
    shop.turn()
    shop.take("x.jpg")
    assert len(shop.pool.submitted) == 1
    assert [result.reason for result in shop.results] == [None, Reason.NAME_TAKEN]
    assert shop.made() == ["x.out"]
    shop.close()


def test_a_root_that_was_replaced_pauses(shop: Shop) -> None:
    """An unmounted output is noticed before a worker starts, and costs no attempt."""
    (shop.home / "in-out").rename(shop.home / "unmounted")
    (shop.home / "in-out").mkdir()
    shop.take()
    assert shop.pool.submitted == []
    assert shop.count(State.PENDING) == 1
    assert shop.dispatcher.folders["in"].paused


def test_a_subfolder_that_fails_is_tried_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One output folder that cannot be made does not hold up the rest."""
    prepare = Committer.prepare

    def flaky(*given: object) -> Prepared | Committed:
        made = prepare(*given)  # type: ignore[arg-type]
        if isinstance(made, Prepared) and made.parent == b"bad":
            raise TransientError(Reason.IO_ERROR, "Input/output error")
        return made

    monkeypatch.setattr(Committer, "prepare", flaky)
    shop.drop("bad/a.png")
    shop.drop("good/a.png")
    shop.settle()
    assert [task.relative for task in shop.pool.tasks] == [b"good/a.png"]
    assert shop.log.of(Event.IMAGE_RETRIED)[0]["stage"] == "open"


def test_many_skips_do_not_hold_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that need no worker are ended a few at a time: signals and watchdog come between."""
    monkeypatch.setattr(assignment, "ASSIGNED_AT_ONCE", 2)
    shop = Shop(tmp_path, existing=ExistingPolicy.SKIP)
    for number in range(5):
        shop.drop(f"{number}.png")
        foreign = tmp_path / "in-out" / f"{number}.png"
        foreign.write_bytes(b"somebody's")
        os.utime(foreign, (1, 1))  # an output of ours has its source's time
    while not shop.results:
        shop.turn()
    assert len(shop.results) == 2
    assert shop.wakes == 1
    shop.settle()
    assert len(shop.results) == 5
    assert shop.dispatcher.is_done
    shop.close()


def test_many_skips_do_not_hold_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the steps of a group, jobs that need no worker have one share, not one a file."""
    monkeypatch.setattr(assignment, "ASSIGNED_AT_ONCE", 2)
    shop = Shop(tmp_path, workers=2, existing=ExistingPolicy.SKIP)
    for number in range(2):
        shop.drop(f"{number}.png")
    shop.settle()
    for number in range(2, 16):
        shop.drop(f"{number}.png")
        foreign = tmp_path / "in-out" / f"{number}.png"
        foreign.write_bytes(b"somebody's")
        os.utime(foreign, (1, 1))
    shop.settle()
    assert shop.results == []
    while shop.pool.tasks:
        shop.pool.stage()
    shop.turn()
    assert 2 < len(shop.results) <= 2 + 3 * 2  # before, once between, and after the commit
    shop.settle()
    assert len(shop.results) == 16
    shop.close()


def test_done_means_nothing_in_doubt(shop: Shop) -> None:
    """`once` ends when all was seen, settled, and brought to its end, and not before."""
    assert not shop.dispatcher.is_done
    shop.take()
    assert shop.dispatcher.is_working
    assert not shop.dispatcher.is_done
    shop.pool.stage()
    shop.turn()
    assert shop.dispatcher.is_done


def test_the_next_turn_comes_with_the_folders(tmp_path: Path) -> None:
    """Retries and paused folders are looked at every few seconds, and never in a busy loop."""
    shop = Shop(tmp_path, retry=RetryOptions(attempts=3, first_s=100))
    shop.take()
    shop.pool.fail(Failure.FOLDER)
    for _ in range(20):
        shop.turn(after_s=5)
        shop.pool.fail(Failure.VANISHED) if shop.pool.tasks else None
        now_s = shop.now_s
        assert now_s < shop.dispatcher.step_folders(now_s) <= now_s + 5
    shop.close()


# Agreement


def sampled(tmp_path: Path, **options: float) -> Shop:
    """A shop whose model has a teacher."""
    return Shop(tmp_path, alarms={"lite": AlarmOptions(**options)})  # type: ignore[arg-type]


def finish(shop: Shop, number: int, found: AgreementSample | None, agree_s: float = 0.0) -> bool:
    """Bring one image to its end; whether it was to be measured."""
    shop.take(f"{number}.png")
    (task,) = shop.pool.tasks
    stages_s = {"infer": 1.0, "agree": agree_s if task.measure_agreement else 0.0}
    shop.pool.stage(agreement=found if task.measure_agreement else None, stages_s=stages_s)
    shop.conclude()
    return task.measure_agreement


def test_the_first_picture_is_sampled(tmp_path: Path) -> None:
    """The first image is always measured, then the share that was asked for."""
    shop = sampled(tmp_path, sample=0.25, budget=1.0)
    assert [finish(shop, n, GOOD) for n in range(8)] == [n in {0, 4} for n in range(8)]
    shop.close()


def test_the_budget_bounds_the_sampling(tmp_path: Path) -> None:
    """Nothing is measured while measuring has cost more than its share of the busy time."""
    shop = sampled(tmp_path, sample=1.0, budget=0.25)
    asked = [finish(shop, n, GOOD, agree_s=1.0) for n in range(12)]
    assert asked[0]
    assert 2 <= sum(asked) <= 5
    shop.close()


def test_no_teacher_no_samples(shop: Shop) -> None:
    """A model without a teacher is never measured."""
    shop.take()
    assert not shop.pool.tasks[0].measure_agreement


@pytest.mark.parametrize("bad", ["refused", "dead", "too small"])
def test_a_missed_sample_is_made_up_for(tmp_path: Path, bad: str) -> None:
    """Where the first image gives no number, the next one is measured in its place."""
    shop = sampled(tmp_path, sample=0.01, budget=1.0)
    shop.take("bad.png")
    if bad == "refused":
        shop.pool.fail(Failure.REFUSED, Reason.TRUNCATED)
    elif bad == "dead":
        shop.pool.die()
    else:
        shop.pool.stage(agreement=None)
    shop.conclude()
    shop.drop("good.png")
    shop.settle()
    assert shop.pool.tasks[0].measure_agreement
    shop.close()


def test_the_alarm_is_raised_and_cleared_once(tmp_path: Path) -> None:
    """One warning when agreement gets low, one event when it recovers, nothing in between."""
    shop = sampled(tmp_path, sample=1.0, budget=1.0, window=FEWEST_SAMPLES, residual_above=0.3)
    for number in range(8):
        finish(shop, number, BAD)
    assert shop.measurements.alarms["lite"].low
    assert len(shop.log.of(Event.AGREEMENT_LOW)) == 1
    for number in range(8, 16):
        finish(shop, number, GOOD)
    assert not shop.measurements.alarms["lite"].low
    (low,), (recovered,) = (
        shop.log.of(Event.AGREEMENT_LOW),
        shop.log.of(Event.AGREEMENT_RECOVERED),
    )
    assert low["model"] == recovered["model"] == "lite"
    assert (low["n"], low["rolling"], low["alarm_below"]) == (5, pytest.approx(0.8), None)
    assert low["residual_ratio"] == pytest.approx(0.5)
    assert recovered["residual_ratio"] <= 0.3
    for told in (low, recovered):
        assert (told["residual_above"], told["measurable"]) == (0.3, 5)
    shop.close()


# Stop and start


def test_maintenance_is_done_between_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop comes back for the rest of it, and a stop does not wait for it."""
    monkeypatch.setattr("sharpend.daemon.maintenance.EVERY_S", 1.0)
    shop = Shop(tmp_path, retention=Retention(backups=1))
    while not shop.log.of(Event.BACKUP_MADE):
        shop.turn()
    assert (tmp_path / "state/ledger.db.backup-1").exists()
    shop.close()


def test_a_stop_gives_attempts_back(shop: Shop) -> None:
    """Work that is cut short by a stop is pending again, no strike, and leaves no litter."""
    shop.take()
    (task,) = shop.pool.tasks
    (shop.home / "in-out" / os.fsdecode(task.temp_name)).write_bytes(b"half")
    shop.stop()
    assert shop.made() == []
    assert shop.pool.running == []
    assert not shop.dispatcher.is_working
    (job,) = [shop.ledger.job(task.job_id)]
    assert job is not None
    assert (job.state, job.attempts, job.orphans) == (State.PENDING, 0, 0)


def test_news_that_nobody_heard_is_worked_again(shop: Shop) -> None:
    """A result that came in during a hard stop counts for nothing; the next start does it again."""
    shop.take()
    shop.pool.stage()
    shop.stop()
    assert shop.made() == []
    assert shop.count(State.PENDING) == 1


def test_a_restart_makes_good_what_a_crash_left(shop: Shop) -> None:
    """What ran is pending again, no strike, and the dead worker's temporary file is removed."""
    shop.take()
    task = shop.pool.tasks[0]
    (shop.home / "in-out" / os.fsdecode(task.temp_name)).write_bytes(b"half")
    (shop.home / "in-out/.sharpend-1-other.tmp").write_bytes(b"another installation's")
    die(shop)
    assert shop.made() == [".sharpend-1-other.tmp"]
    shop.settle()
    job = shop.ledger.job(shop.pool.tasks[0].job_id)
    assert job is not None
    assert (job.attempts, job.orphans) == (1, 1)


def test_a_suspect_runs_alone(shop: Shop) -> None:
    """A job that saw the daemon die three times waits until nothing else runs."""
    shop.take("suspect.png")
    for _ in range(ALONE_AFTER_ORPHANS):
        die(shop)
        shop.settle()
    shop.pool.tasks.clear()
    die(shop)
    shop.drop("b.png")
    shop.drop("c.png")
    shop.drop("d.png")
    shop.settle()
    seen = []
    while shop.pool.tasks:
        running = [task.relative for task in shop.pool.tasks]
        seen.append(running)
        shop.pool.stage()
        shop.turn()
    assert [b"suspect.png"] in seen
    assert not [running for running in seen if b"suspect.png" in running and len(running) > 1]


def test_a_job_that_always_kills_the_daemon_is_given_up(shop: Shop) -> None:
    """After a dozen deaths beside one image it is quarantined, and the daemon lives."""
    shop.take("killer.png")
    for _ in range(GIVE_UP_AFTER_ORPHANS + 1):
        assert shop.count(State.RUNNING) == 1
        die(shop)
        shop.settle()
    assert shop.count(State.QUARANTINED) == 1
    (told,) = shop.log.of(Event.IMAGE_QUARANTINED)
    assert told["error_code"] == Reason.DAEMON_DIED
    assert "13 times" in told["message"]


def test_finished_work_is_not_done_again(shop: Shop) -> None:
    """After a restart a folder whose images are done has nothing to do."""
    shop.take()
    shop.pool.stage()
    shop.conclude()
    die(shop)
    shop.settle()
    assert shop.pool.submitted == []
    assert shop.dispatcher.is_done
