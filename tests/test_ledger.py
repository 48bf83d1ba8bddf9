"""The ledger moves jobs legally, keeps them through crashes, and hands them out fairly."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sharpend.errors import ExitCode, LedgerError, Reason, StateFaultError, StateLockedError
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.ledger import GIVE_UP_AFTER_ORPHANS, Ledger
from sharpend.ledger.long_steps import AbandonedError
from sharpend.ledger.opening import is_locked, lock, open_beside, open_ledger
from sharpend.ledger.reader import LedgerReader
from sharpend.ledger.records import (
    MOVES,
    Claim,
    Job,
    Owner,
    Product,
    QuarantineReason,
    State,
    fingerprint_text,
)
from sharpend.ledger.scheduling import ALONE_AFTER_ORPHANS, LONGEST_BACKOFF_S
from sharpend.ledger.schema import SCHEMA_VERSION
from tests.older_ledgers import LAST_WIDE, older_ledger
from tests.test_ledger_size import counted_refusals, kept_refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = 1_000_000.0
ONE = Fingerprint(10, 20, 30)
TWO = Fingerprint(11, 21, 31)
MADE = Fingerprint(99, 98, 97)
REFUSAL = QuarantineReason(Reason.TRUNCATED, "the file ends early", None)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger with one folder, `in`."""
    with open_ledger(tmp_path) as opened:
        assert opened.folder("in", b"/in", b"/out") == "in"
        yield opened


def claimed(ledger: Ledger, relative: bytes = b"x.png", fingerprint: Fingerprint = ONE) -> Job:
    """A job just submitted."""
    ledger.add("in", [(relative, fingerprint)], NOW)
    job = ledger.claim(NOW, {"in"})
    assert job is not None
    return job


def finished(ledger: Ledger, relative: bytes = b"x.png", made: Fingerprint = MADE) -> Job:
    """A job that went all the way; its output has the input's name."""
    job = claimed(ledger, relative)
    ledger.stage(job, Product(relative, made, b".t.tmp"))
    ledger.finish(job, NOW)
    ledger.dispose(job)
    return job


def outcome_state(ledger: LedgerReader, relative: bytes = b"x.png") -> State:
    """Where the path is."""
    (outcome,) = ledger.outcomes("in", [relative])
    return outcome.state


def test_second_process_is_locked_out(tmp_path: Path) -> None:
    """One state directory serves one process; the message names it and the way out."""
    with (
        open_ledger(tmp_path),
        pytest.raises(StateLockedError, match=rf"process {os.getpid()}.*--state"),
    ):
        open_ledger(tmp_path)
    open_ledger(tmp_path).close()


def test_lock_is_not_inherited(tmp_path: Path) -> None:
    """A worker that outlives the daemon does not keep the state directory locked."""
    ledger = open_ledger(tmp_path)
    worker = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
    )
    try:
        ledger.close()
        open_ledger(tmp_path).close()
    finally:
        worker.communicate(b"\n")


def test_state_directory_is_private(tmp_path: Path) -> None:
    """The state directory is made with its parents, for its owner alone."""
    open_ledger(tmp_path / "a/state").close()
    assert (tmp_path / "a/state").stat().st_mode & 0o777 == 0o700


def test_state_directory_cannot_be_made(tmp_path: Path) -> None:
    """A state directory that cannot be made is reported in words, not in a traceback."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateFaultError, match="state directory") as raised:
        open_ledger(tmp_path / "file/state")
    assert raised.value.exit_code is ExitCode.OUTPUT_FAILED


def test_newer_ledger_is_refused(tmp_path: Path) -> None:
    """A ledger of a newer version is left alone, and the lock is given back."""
    open_ledger(tmp_path).close()
    change(tmp_path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for _ in range(2):
        with pytest.raises(LedgerError, match="newer sharpend"):
            open_ledger(tmp_path)
    with pytest.raises(LedgerError, match="newer sharpend"):
        LedgerReader.read_only(tmp_path)


def test_a_ledger_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """It can be read as it is; opened by its writer it learns whose each name is."""
    older = older_ledger(tmp_path, 1)
    older.execute(
        "INSERT INTO job (folder, relative, mark, state, added_at, output, output_mark)"
        " VALUES (1, ?, ?, 'disposed', 5.0, ?, ?)",
        (b"x.png", fingerprint_text(ONE), b"x.png", fingerprint_text(MADE)),
    )
    older.commit()
    older.close()
    with LedgerReader.read_only(tmp_path) as reader:
        assert reader.counts()[State.DISPOSED] == 1
        assert reader.skipped("in") == 0
    for _ in range(2):
        with open_ledger(tmp_path) as ledger:
            assert not ledger.rebuilt
            assert ledger.claims("in", b"X.PNG") == [Claim(Owner("in", b"x.png"), b"x.png", MADE)]
            ((_, (job,)),) = ledger.candidates("in", [(b"x.png", replace(ONE, inode=99))])
            assert (job.digest, job.is_own, ledger.adopts("in")) == (None, True, False)
    assert (tmp_path / "ledger.db.schema-1").exists()


def test_a_long_upgrade_goes_on_or_is_cancelled_as_a_whole(tmp_path: Path) -> None:
    """It reports repeatedly that it works; cancelled at any moment it has changed nothing."""
    older = older_ledger(tmp_path, LAST_WIDE)
    rows = [(f"{number}.png".encode(), f"{number}:1:1") for number in range(5000)]
    older.executemany(
        "INSERT INTO job (folder, relative, mark, state, added_at) VALUES (1, ?, ?, 'done', 5.0)",
        rows,
    )
    older.commit()
    older.close()
    calls = 0
    for last in range(4):
        left = iter(range(last))
        with pytest.raises(AbandonedError):
            open_ledger(tmp_path, lambda left=left: next(left, None) is not None)  # type: ignore[misc]
        with LedgerReader.read_only(tmp_path) as reader:
            assert reader.counts()[State.DONE] == 5000
        assert not (tmp_path / "ledger.db.copy.tmp").exists()

    def go_on() -> bool:
        nonlocal calls
        calls += 1
        return True

    with open_ledger(tmp_path, go_on) as ledger:
        assert ledger.counts()[State.DONE] == 5000
    assert calls > 4


@pytest.mark.parametrize("damage", ["noise", "cut", "hole"])
def test_damaged_ledger_is_moved_aside(tmp_path: Path, damage: str) -> None:
    """A damaged ledger is kept for inspection and a new one begins, as often as it happens."""
    for number in (1, 2):
        with open_ledger(tmp_path) as ledger:
            ledger.folder("in", b"/in", b"/out")
            ledger.add("in", [(b"%d" % i, ONE) for i in range(500)], NOW)
        path = tmp_path / "ledger.db"
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(
            {
                "noise": os.urandom(5000),
                "cut": content[:middle],
                "hole": content[:4096] + bytes(middle) + content[4096 + middle :],
            }[damage]
        )
        with open_ledger(tmp_path) as ledger:
            assert ledger.rebuilt
            aside = tmp_path / f"ledger.db.corrupt-{number}"
            assert ledger.recovery_paths == {"moved_aside": aside, "newest_backup": None}
            assert aside.exists()
            assert sum(ledger.counts().values()) == 0


@pytest.mark.parametrize("emptied", [True, False])
def test_lost_ledger_is_noticed(tmp_path: Path, *, emptied: bool) -> None:
    """A ledger that was deleted or emptied is distinguished from a first start."""
    with open_ledger(tmp_path) as ledger:
        assert not ledger.rebuilt
    with open_ledger(tmp_path) as ledger:
        assert not ledger.rebuilt
    (tmp_path / "ledger.db").unlink()
    if emptied:
        (tmp_path / "ledger.db").touch()
    with open_ledger(tmp_path) as ledger:
        assert ledger.rebuilt
        assert ledger.recovery_paths["moved_aside"] is None


def change(state_dir: Path, statement: str) -> None:
    """Another program meddles with the file."""
    connection = sqlite3.connect(state_dir / "ledger.db")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_status_reads_beside_the_daemon(tmp_path: Path, ledger: Ledger) -> None:
    """Counts can be read while the daemon holds the lock, and nothing can be written."""
    claimed(ledger)
    with LedgerReader.read_only(tmp_path) as reader:
        assert reader.counts()[State.RUNNING] == 1
        with pytest.raises(LedgerError):
            reader._store.rows("DELETE FROM job")


def test_status_without_a_ledger(tmp_path: Path) -> None:
    """Where nothing has run yet, that is said."""
    with pytest.raises(LedgerError, match="no ledger"):
        LedgerReader.read_only(tmp_path)


def test_retry_works_beside_the_daemon(tmp_path: Path, ledger: Ledger) -> None:
    """`retry` reaches a running daemon through its ledger."""
    job = claimed(ledger)
    ledger.quarantine(job, REFUSAL, NOW)
    with open_beside(tmp_path) as other:
        other.retry(job, ONE)
    again = ledger.claim(NOW, {"in"})
    assert again is not None
    assert (again.id, again.attempts) == (job.id, 1)


def test_an_older_daemon_keeps_its_ledger(tmp_path: Path) -> None:
    """A command of a newer version changes no tables beside it."""
    held = lock(tmp_path)
    older_ledger(tmp_path, 10).close()
    with pytest.raises(LedgerError, match="older version: restart it"):
        open_beside(tmp_path)
    os.close(held)
    with open_beside(tmp_path) as ledger:
        assert ledger.counts()[State.PENDING] == 0


def test_damage_that_a_backup_finds_is_looked_for_at_the_next_start(tmp_path: Path) -> None:
    """A stop in order does not vouch for such a file."""
    for is_damaged in (False, True):
        ledger = open_ledger(tmp_path)
        if is_damaged:
            ledger.distrust()
        ledger.close()
        assert (tmp_path / "ledger.db.closed").exists() is not is_damaged


def test_full_disk_is_a_state_fault(ledger: Ledger) -> None:
    """A disk that is full is distinguished from a bug, and the ledger stays as it was."""
    ledger._store.row("PRAGMA max_page_count = 1")
    with pytest.raises(StateFaultError, match="full"):
        ledger.add("in", [(b"%d" % i, ONE) for i in range(5000)], NOW)
    assert sum(ledger.counts().values()) == 0


def test_folder_names_last(ledger: Ledger) -> None:
    """A folder is its two roots; a name that another folder has gets a number."""
    assert ledger.folder("renamed", b"/in", b"/out") == "in"
    assert ledger.folder("in", b"/in", b"/elsewhere") == "in-2"
    assert ledger.folder("in", b"/third", b"/out") == "in-3"
    assert ledger.folder("other", b"/in", b"/elsewhere") == "in-2"


def test_unknown_folder_is_refused(ledger: Ledger) -> None:
    """Nothing is queued for a folder that was never named."""
    with pytest.raises(LedgerError, match="'out'"):
        ledger.add("out", [(b"x", ONE)], NOW)


@pytest.mark.parametrize(
    "fingerprint",
    [
        Fingerprint(0, -1, 0),
        Fingerprint(2**63 - 1, 15_000_000_000_000_000_000, 2**64 - 1),
    ],
)
def test_fingerprints_are_exact(ledger: Ledger, fingerprint: Fingerprint) -> None:
    """Inode numbers above 2^63 and times after 2262 or before 1970 come back as they were."""
    assert claimed(ledger, b"\xff\n -", fingerprint).fingerprint == fingerprint
    assert list(ledger.unknown("in", [(b"\xff\n -", fingerprint)])) == []


def test_known_files_are_not_new(ledger: Ledger) -> None:
    """Only files without a row are new, in batches of any size."""
    names = [(b"%d" % i, ONE) for i in range(1203)]
    assert list(ledger.unknown("in", names)) == names
    assert ledger.add("in", names[:701], NOW).jobs == 701
    assert list(ledger.unknown("in", names)) == names[701:]
    assert list(ledger.unknown("in", [(b"0", TWO)])) == [(b"0", TWO)]
    assert list(ledger.unknown("in", [])) == []


def test_vanished_file_that_is_back_is_new(ledger: Ledger) -> None:
    """A file that comes back unchanged is done as if it were new."""
    job = claimed(ledger)
    ledger.vanish(job)
    assert list(ledger.unknown("in", [(b"x.png", ONE)])) == [(b"x.png", ONE)]
    assert claimed(ledger).attempts == 1


def test_replaced_pending_file_vanishes(ledger: Ledger) -> None:
    """New content under a name takes the place of the content that was waiting."""
    ledger.add("in", [(b"x.png", ONE)], NOW)
    assert ledger.add("in", [(b"x.png", TWO)], NOW).jobs == 1
    assert ledger.add("in", [(b"x.png", TWO)], NOW).jobs == 0
    counts = ledger.counts()
    assert (counts[State.PENDING], counts[State.VANISHED]) == (1, 0)
    job = ledger.claim(NOW, {"in"})
    assert job is not None
    assert job.fingerprint == TWO


def test_new_generation_waits_for_the_old(ledger: Ledger) -> None:
    """While an old content is in work the new one waits: never an old result over a new one."""
    old = claimed(ledger)
    ledger.add("in", [(b"x.png", TWO)], NOW)
    assert ledger.claim(NOW, {"in"}) is None
    ledger.stage(old, Product(b"x.png", MADE))
    assert ledger.claim(NOW, {"in"}) is None
    ledger.finish(old, NOW)
    assert ledger.claim(NOW, {"in"}) is None
    ledger.dispose(old)
    new = ledger.claim(NOW, {"in"})
    assert new is not None
    assert new.fingerprint == TWO


def test_new_generation_inherits_the_output(ledger: Ledger) -> None:
    """The record of an output lasts until the next generation's output has replaced it."""
    finished(ledger)
    new = claimed(ledger, fingerprint=TWO)
    assert ledger.output_owner("in", MADE) == Owner("in", b"x.png")
    assert ledger.previous_output("in", b"x.png") == b"x.png"
    newer = Fingerprint(5, 5, 5)
    ledger.stage(new, Product(b"x.png", newer))
    assert ledger.output_owner("in", newer) is None
    ledger.finish(new, NOW)
    assert ledger.output_owner("in", newer) == Owner("in", b"x.png")
    assert ledger.output_owner("in", MADE) is None
    assert sum(ledger.counts().values()) == 1


def test_outputs_are_known_across_folders(ledger: Ledger) -> None:
    """Two folders with one output root know of each other's outputs; others do not."""
    finished(ledger)
    ledger.folder("second", b"/second", b"/out")
    ledger.folder("third", b"/third", b"/elsewhere")
    assert ledger.output_owner("second", MADE) == Owner("in", b"x.png")
    assert ledger.output_owner("third", MADE) is None


def test_names_are_claimed_with_their_twins(ledger: Ledger) -> None:
    """A name is claimed from staging on, across case, accents and folders with one output root."""
    job = claimed(ledger)
    for output in (b"A/caf\xc3\xa9.png", b"a/CAFE\xcc\x81.png"):
        assert ledger.claims("in", output) == []
    ledger.stage(job, Product(b"A/caf\xc3\xa9.png", MADE))
    ledger.folder("second", b"/second", b"/out")
    ledger.folder("third", b"/third", b"/elsewhere")
    claim = Claim(Owner("in", b"x.png"), b"A/caf\xc3\xa9.png", MADE)
    assert ledger.claims("second", b"a/CAFE\xcc\x81.png") == [claim]
    assert ledger.claims("third", b"a/CAFE\xcc\x81.png") == []
    assert ledger.claims("in", b"a/cafe.png") == []
    ledger.restage(job, Product(b"other.png", MADE))
    assert ledger.claims("second", b"a/CAFE\xcc\x81.png") == []
    ledger.finish(job, NOW)
    assert ledger.claims("second", b"OTHER.png") == [replace(claim, output=b"other.png")]


def test_a_released_or_unchanged_job_claims_nothing(ledger: Ledger) -> None:
    """Only what we made, or are about to, has a name."""
    job = claimed(ledger)
    ledger.stage(job, Product(b"x.png", MADE))
    ledger.release(job)
    assert ledger.claims("in", b"x.png") == []
    job = claimed(ledger)
    ledger.stage(job, Product(b"x.png", MADE, kept_existing=True))
    ledger.finish(job, NOW)
    assert ledger.claims("in", b"x.png") == []


def test_unchanged_file_is_not_ours(ledger: Ledger) -> None:
    """A foreign file that was left alone never becomes replaceable."""
    job = claimed(ledger)
    ledger.stage(job, Product(b"x.png", MADE, kept_existing=True))
    ledger.finish(job, NOW)
    assert ledger.output_owner("in", MADE) is None
    assert ledger.previous_output("in", b"x.png") is None
    (outcome,) = ledger.outcomes("in", [b"x.png", b"never seen"])
    assert (outcome.kept_existing, outcome.output) == (True, b"x.png")


def test_claims_go_oldest_first_and_count_the_attempt(ledger: Ledger) -> None:
    """The attempt is on record before anybody works on the file."""
    ledger.add("in", [(b"b", ONE), (b"a", ONE)], NOW)
    first, second = ledger.claim(NOW, {"in"}), ledger.claim(NOW, {"in"})
    assert first is not None
    assert second is not None
    assert (first.relative, first.state, first.attempts) == (b"b", State.RUNNING, 1)
    assert second.relative == b"a"
    assert ledger.claim(NOW, {"in"}) is None


def test_folders_take_turns(ledger: Ledger) -> None:
    """A folder with a long queue does not starve another; a folder left out gets no turn."""
    ledger.folder("other", b"/other", b"/out2")
    ledger.add("in", [(b"%d" % i, ONE) for i in range(5)], NOW)
    ledger.add("other", [(b"%d" % i, ONE) for i in range(5)], NOW)
    turns = [ledger.claim(NOW, {"in", "other"}) for _ in range(4)]
    assert [job.folder for job in turns if job] == ["in", "other", "in", "other"]
    paused = [ledger.claim(NOW, {"in"}) for _ in range(2)]
    assert [job.folder for job in paused if job] == ["in", "in"]
    assert ledger.claim(NOW, set()) is None


def test_deferred_job_waits_for_its_time(ledger: Ledger) -> None:
    """A retry is due at its time, not before."""
    ledger.defer(claimed(ledger), NOW + 10, Reason.IO_ERROR)
    assert ledger.claim(NOW + 9, {"in"}) is None
    job = ledger.claim(NOW + 10, {"in"})
    assert job is not None
    assert job.attempts == 2


def test_clock_set_back_does_not_park_a_retry(ledger: Ledger) -> None:
    """A time that no backoff could have set is due at once."""
    ledger.defer(claimed(ledger), NOW + LONGEST_BACKOFF_S, Reason.IO_ERROR)
    assert ledger.claim(NOW, {"in"}) is None
    assert ledger.claim(NOW - 86400, {"in"}) is not None


def test_drained_job_has_its_attempt_back(ledger: Ledger) -> None:
    """A job returned to the queue by a drain was not tried."""
    ledger.release(claimed(ledger))
    assert claimed(ledger).attempts == 1


def test_oldest_pending(ledger: Ledger) -> None:
    """The report can tell how long the queue's head has waited."""
    assert ledger.oldest_pending_at(["in"]) is None
    ledger.add("in", [(b"a", ONE)], NOW)
    ledger.add("in", [(b"b", ONE)], NOW + 5)
    assert ledger.oldest_pending_at(["in"]) == NOW
    assert ledger.oldest_pending_at(["a folder that is no longer configured"]) is None


def test_a_command_does_not_wait(ledger: Ledger) -> None:
    """What was put off is due at once where somebody waits for it."""
    ledger.defer(claimed(ledger), NOW + 500, Reason.IO_ERROR)
    assert ledger.claim(NOW, {"in"}) is None
    assert ledger.hasten("another", NOW) == 0
    assert ledger.hasten("in", NOW) == 1
    assert ledger.claim(NOW, {"in"}) is not None


def crash(ledger: Ledger, state_dir: Path) -> Ledger:
    """The daemon dies and starts again."""
    ledger.close()
    return open_ledger(state_dir)


def test_daemons_death_is_no_strike(tmp_path: Path, ledger: Ledger) -> None:
    """What ran when the daemon died is pending again with its attempts as they were."""
    claimed(ledger)
    ledger = crash(ledger, tmp_path)
    assert ledger.recover() == []
    job = ledger.claim(NOW, {"in"})
    assert job is not None
    assert (job.attempts, job.orphans) == (1, 1)
    ledger.close()


def test_job_that_saw_many_deaths_runs_alone(ledger: Ledger) -> None:
    """After three deaths a job waits until nothing runs, and nothing runs beside it."""
    for _ in range(ALONE_AFTER_ORPHANS):
        claimed(ledger, b"poison")
        ledger.recover()
    other = claimed(ledger, b"good")
    assert other.relative == b"good"
    assert ledger.claim(NOW, {"in"}) is None
    ledger.quarantine(other, REFUSAL, NOW)
    poison = ledger.claim(NOW, {"in"})
    assert poison is not None
    assert poison.relative == b"poison"
    ledger.add("in", [(b"next", ONE)], NOW)
    assert ledger.claim(NOW, {"in"}) is None


def test_job_that_kills_the_daemon_is_given_up(ledger: Ledger) -> None:
    """After three deaths and ten alone the job is handed over for quarantine."""
    for _ in range(GIVE_UP_AFTER_ORPHANS):
        claimed(ledger)
        assert ledger.recover() == []
    claimed(ledger)
    (job,) = ledger.recover()
    assert job.orphans == GIVE_UP_AFTER_ORPHANS + 1
    ledger.quarantine(job, QuarantineReason(Reason.DAEMON_DIED, "killed the daemon"), NOW)


def test_staged_and_done_jobs_come_back(tmp_path: Path, ledger: Ledger) -> None:
    """After a crash the staged file, its final name and its result are all known."""
    product = Product(b"x-2.png", MADE, b".t.tmp", model_digest="m", options_digest="o")
    job = claimed(ledger)
    ledger.stage(job, replace(product, output=b"x.png"))
    ledger.restage(job, product)
    ledger = crash(ledger, tmp_path)
    ledger.recover()
    ((staged, found),) = ledger.unfinished(State.STAGED)
    assert (staged.id, found.output, found.temp, found.fingerprint) == (
        job.id,
        b"x-2.png",
        b".t.tmp",
        MADE,
    )
    ledger.finish(job, NOW)
    ((_, found),) = ledger.unfinished(State.DONE)
    assert (found.output, found.temp, found.fingerprint) == (b"x-2.png", b"", MADE)
    assert (found.model_digest, found.options_digest) == ("m", "o")
    with pytest.raises(LedgerError, match="not staged"):
        ledger.restage(job, product)
    ledger.close()


def test_unfinished_pages(ledger: Ledger) -> None:
    """More rows than a page are all met once, while they move on."""
    for number in range(205):
        job = claimed(ledger, b"%d" % number)
        ledger.stage(job, Product(b"%d" % number, MADE))
    met = []
    for job, _ in ledger.unfinished(State.STAGED):
        ledger.finish(job, NOW)
        met.append(job.relative)
    assert sorted(met) == sorted(b"%d" % number for number in range(205))


def test_quarantine_record(ledger: Ledger) -> None:
    """A quarantined job keeps its reason, and where its note and source are."""
    job = claimed(ledger)
    refusal = QuarantineReason(Reason.TOO_MANY_PIXELS, "too large", "max_pixels")
    ledger.quarantine(job, refusal, NOW)
    (entry,) = ledger.quarantined()
    assert (entry.refusal, entry.at_s, entry.note, entry.moved) == (refusal, NOW, None, None)
    ledger.noted(job, b"/q/x.reason.json", b"/q/x")
    (entry,) = ledger.quarantined()
    assert (entry.note, entry.moved) == (b"/q/x.reason.json", b"/q/x")
    (outcome,) = ledger.outcomes("in", [b"x.png"])
    assert (outcome.reason, outcome.message) == (Reason.TOO_MANY_PIXELS, "too large")


@pytest.mark.parametrize("moved", [None, b"/q/x"])
def test_good_file_supersedes_a_refused_one(ledger: Ledger, moved: bytes | None) -> None:
    """A reason for content that was overwritten is forgotten; a source in quarantine is not."""
    job = claimed(ledger)
    ledger.quarantine(job, REFUSAL, NOW)
    ledger.noted(job, b"/q/x.reason.json", moved)
    added = ledger.add("in", [(b"x.png", TWO)], NOW)
    assert added.superseded == ([] if moved else [(b"x.png", b"/q/x.reason.json")])
    assert ledger.counts()[State.QUARANTINED] == (1 if moved else 0)


def test_retry_of_a_file_with_a_new_inode(ledger: Ledger) -> None:
    """A source put back from another disk is known by its new fingerprint, and only once."""
    job = claimed(ledger)
    ledger.quarantine(job, REFUSAL, NOW)
    ledger.noted(job, b"/q/x.reason.json", b"/q/x")
    ledger.add("in", [(b"x.png", TWO)], NOW)
    ledger.retry(job, TWO)
    again = ledger.claim(NOW, {"in"})
    assert again is not None
    assert again.fingerprint == TWO
    assert sum(ledger.counts().values()) == 1


def test_finished_files_are_done_again_when_asked(ledger: Ledger) -> None:
    """`retry --all` reaches one path, one folder, or everything; outputs stay ours."""
    finished(ledger, b"a")
    finished(ledger, b"b", TWO)
    assert ledger.retry_finished("elsewhere") == 0
    assert ledger.retry_finished("in", b"a") == 1
    assert outcome_state(ledger, b"a") is State.PENDING
    assert ledger.output_owner("in", MADE) == Owner("in", b"a")
    assert ledger.retry_finished() == 1


def test_adopted_output_is_finished(ledger: Ledger) -> None:
    """After the ledger was lost, an output found in place counts as made."""
    ledger.adopt("in", [((b"x.png", ONE), Product(b"x.png", MADE))], NOW)
    assert outcome_state(ledger) is State.DISPOSED
    assert ledger.output_owner("in", MADE) == Owner("in", b"x.png")
    assert list(ledger.unknown("in", [(b"x.png", ONE)])) == []


def test_outdated_results_are_done_again(ledger: Ledger) -> None:
    """`reprocess` reaches what another model or other options made, and nothing else."""
    for relative, model, options in ((b"a", "m", "o"), (b"b", "old", "o"), (b"c", "m", "old")):
        job = claimed(ledger, relative)
        ledger.stage(job, Product(relative, MADE, model_digest=model, options_digest=options))
        ledger.finish(job, NOW)
        ledger.dispose(job)
    assert ledger.retry_outdated("in", model="m", options="o") == 2
    assert outcome_state(ledger, b"a") is State.DISPOSED


def test_adopted_outputs_are_outdated_in_a_new_ledger(ledger: Ledger) -> None:
    """Who made them is not known, and nothing was made since."""
    ledger.adopt("in", [((b"x.png", ONE), Product(b"x.png", MADE))], NOW)
    assert ledger.retry_outdated("in", model="m", options="o") == 1


def test_waiting_counts_what_is_not_at_its_end(ledger: Ledger) -> None:
    """Queued and running jobs are waited for; finished and unknown ones are not."""
    finished(ledger, b"a")
    claimed(ledger, b"b")
    ledger.add("in", [(b"c", ONE)], NOW)
    assert ledger.waiting(["in", "never"]) == 2


def test_folders_are_listed(ledger: Ledger) -> None:
    """Every folder ever worked on is known by its name and its roots."""
    assert ledger.folders() == [("in", (b"/in", b"/out"))]
    assert ledger.folder_name(b"/in", b"/out") == "in"
    assert ledger.folder_name(b"/in", b"/never") is None


def test_lock_can_be_looked_at(tmp_path: Path) -> None:
    """Whether a daemon runs can be asked without taking its place."""
    assert not is_locked(tmp_path)
    with open_ledger(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_missing_job_is_refused(ledger: Ledger) -> None:
    """A job that is not in the ledger cannot move."""
    ghost = Job(77, "in", b"x", ONE, State.RUNNING, 1, 0)
    with pytest.raises(LedgerError, match="not in the ledger"):
        ledger.vanish(ghost)
    assert ledger.job(77) is None


def test_holder_without_a_number(tmp_path: Path) -> None:
    """Where the holder has not written its number yet, the message still says so."""
    (tmp_path / "lock").touch()
    other = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(StateLockedError, match="process unknown"):
        open_ledger(tmp_path)
    os.close(other)


@dataclass
class Known:
    """What the model knows of one generation of one path."""

    id: int
    path: bytes
    fingerprint: Fingerprint
    state: State = State.PENDING
    attempts: int = 0
    orphans: int = 0
    next_at: float = 0.0
    has_output: bool = False


IN_WORK = {State.RUNNING, State.STAGED, State.DONE}
GONE_AT_FINISH = {State.DONE, State.DISPOSED, State.VANISHED, State.QUARANTINED}


class LedgerMoves(RuleBasedStateMachine):
    """Any sequence of calls leaves the ledger as a small model says, or is refused by both."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.now = NOW
        self.generation = 0
        self.rows: list[Known] = []
        self.open()

    def open(self) -> None:
        """Start the daemon."""
        self.ledger = open_ledger(Path(self.place.name))
        self.ledger.folder("in", b"/in", b"/out")

    def teardown(self) -> None:
        """Stop the daemon."""
        self.ledger.close()
        self.place.cleanup()

    def row_id(self, path: bytes, seen: Fingerprint) -> int:
        """The number that the ledger gave."""
        mark = f"{seen.size}:{seen.mtime_ns}:{seen.inode}"
        row = self.ledger._store.row(
            "SELECT id FROM job WHERE relative = ? AND mark = ?", path, mark
        )
        assert row is not None
        return int(row["id"])

    def meet(self, path: bytes, seen: Fingerprint) -> None:
        """A scan finds a file."""
        row = next((r for r in self.rows if (r.path, r.fingerprint) == (path, seen)), None)
        is_new = row is None or row.state is State.VANISHED
        assert list(self.ledger.unknown("in", [(path, seen)])) == [(path, seen)] * is_new
        assert self.ledger.add("in", [(path, seen)], self.now).jobs == is_new
        for other in self.rows:
            ends = other.state in {State.PENDING, State.DEFERRED, State.QUARANTINED}
            if other.path == path and other is not row and ends:
                other.state = State.VANISHED
        self.rows = [
            r
            for r in self.rows
            if r is row or r.path != path or r.state is not State.VANISHED or r.has_output
        ]
        if row is None:
            self.rows.append(Known(self.row_id(path, seen), path, seen))
        elif is_new:
            row.state, row.attempts, row.orphans = State.PENDING, 0, 0

    @rule(path=st.sampled_from([b"a", b"b", b"\xff"]))
    def new_content(self, path: bytes) -> None:
        """A file is dropped, or replaced."""
        self.generation += 1
        self.meet(path, Fingerprint(1, self.generation, 1))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def seen_again(self, data: st.DataObject) -> None:
        """A scan finds a file that was there before."""
        row = data.draw(st.sampled_from(self.rows))
        self.meet(row.path, row.fingerprint)

    def is_due(self, row: Known, *, alone: bool) -> bool:
        """The model's idea of a claimable job."""
        due = row.state is State.PENDING or (
            row.state is State.DEFERRED and row.next_at <= self.now
        )
        free = not any(r.path == row.path and r.state in IN_WORK for r in self.rows)
        return due and free and (row.orphans >= ALONE_AFTER_ORPHANS) == alone

    @rule()
    def claim(self) -> None:
        """A worker is free."""
        job = self.ledger.claim(self.now, {"in"})
        running = [r for r in self.rows if r.state is State.RUNNING]
        due = [r for r in self.rows if self.is_due(r, alone=False)]
        if not due and not running:
            due = [r for r in self.rows if self.is_due(r, alone=True)]
        if any(r.orphans >= ALONE_AFTER_ORPHANS for r in running):
            due = []
        if not due:
            assert job is None
            return
        assert job is not None
        row = next(r for r in due if r.id == job.id)
        row.state = State.RUNNING
        row.attempts += 1

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), to=st.sampled_from(State))
    def move(self, data: st.DataObject, to: State) -> None:
        """Somebody moves a job; illegal moves are refused and change nothing."""
        row = data.draw(st.sampled_from(self.rows))
        job = self.ledger.job(row.id)
        assert job is not None
        if to is State.RUNNING:
            return
        if to not in MOVES[row.state]:
            with pytest.raises(LedgerError, match="not a legal transition"):
                self.call(job, to)
            return
        self.call(job, to)
        row.state = to
        if to is State.PENDING:
            row.attempts = max(row.attempts - 1, 0)
        if to is State.DEFERRED:
            row.next_at = self.now + 10
        if to is State.QUARANTINED:
            self.rows = [
                r
                for r in self.rows
                if r.id >= row.id or r.path != row.path or r.state is not to or r.has_output
            ]
        if to is State.DONE:
            row.has_output = True
            self.rows = [
                r
                for r in self.rows
                if r is row or r.path != row.path or r.state not in GONE_AT_FINISH
            ]

    def call(self, job: Job, to: State) -> None:
        """The ledger's method for a move."""
        calls: dict[State, Callable[[], object]] = {
            State.PENDING: lambda: self.ledger.release(job),
            State.STAGED: lambda: self.ledger.stage(job, Product(job.relative, MADE)),
            State.DONE: lambda: self.ledger.finish(job, self.now),
            State.DISPOSED: lambda: self.ledger.dispose(job),
            State.DEFERRED: lambda: self.ledger.defer(job, self.now + 10, Reason.IO_ERROR),
            State.QUARANTINED: lambda: self.ledger.quarantine(job, REFUSAL, self.now),
            State.VANISHED: lambda: self.ledger.vanish(job),
        }
        calls[to]()

    @precondition(lambda self: any(r.state is State.QUARANTINED for r in self.rows))
    @rule()
    def retry(self) -> None:
        """The user asks for a quarantined file to be tried again."""
        row = next(r for r in self.rows if r.state is State.QUARANTINED)
        job = self.ledger.job(row.id)
        assert job is not None
        self.ledger.retry(job, row.fingerprint)
        row.state, row.attempts, row.orphans = State.PENDING, 0, 0

    @rule()
    def retry_finished(self) -> None:
        """The user asks for everything again."""
        finished = [r for r in self.rows if r.state is State.DISPOSED]
        assert self.ledger.retry_finished() == len(finished)
        for row in finished:
            row.state, row.attempts, row.orphans = State.PENDING, 0, 0

    @rule()
    def crash(self) -> None:
        """The daemon is killed and starts again."""
        self.ledger.close()
        self.open()
        self.ledger.recover()
        for row in self.rows:
            if row.state is State.RUNNING:
                row.state = State.PENDING
                row.attempts -= 1
                row.orphans += 1

    @rule()
    def wait(self) -> None:
        """Time passes."""
        self.now += 6

    @invariant()
    def agrees(self) -> None:
        """The ledger holds what the model holds."""
        jobs = {row.id: self.ledger.job(row.id) for row in self.rows}
        for row in self.rows:
            job = jobs[row.id]
            assert job is not None
            assert (job.state, job.attempts, job.orphans) == (
                row.state,
                row.attempts,
                row.orphans,
            )
        assert sum(self.ledger.counts().values()) == len(self.rows)
        assert kept_refusals(self.ledger) == counted_refusals(self.ledger)

    @invariant()
    def one_at_a_time(self) -> None:
        """No path is in work twice."""
        running = [row.path for row in self.rows if row.state is State.RUNNING]
        assert len(running) == len(set(running))


TestLedgerMoves = LedgerMoves.TestCase
TestLedgerMoves.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, database=None
)
