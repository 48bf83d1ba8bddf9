"""A daemon's folders, ledger and committer on a real disk, with a worker that copies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.attempt import Staged
from sharpend.commit.committer import Committer
from sharpend.commit.destination import Destination, TempNames
from sharpend.commit.local_place import LocalPlace
from sharpend.commit.publication import Attempt, StagedJob
from sharpend.commit.results import Committed, Prepared, Unfinished
from sharpend.commit.stale import remove_stale_temps
from sharpend.files.fingerprint import Fingerprint
from sharpend.ledger.opening import open_ledger

if TYPE_CHECKING:
    from sharpend.ledger.records import Job, State

NOW = 1_000_000.0


class CrashError(Exception):
    """The daemon died here."""


class CommitShop:
    """A daemon's folders, ledger and committer on a real disk, with a worker that copies."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("in", "out", "archive"):
            (home / name).mkdir()
        self.to = Destination(
            "in",
            os.fsencode(home / "in"),
            os.fsencode(home / "out"),
            archive_root=os.fsencode(home / "archive"),
        )
        self.crash_at = ""
        self.start()

    def start(self) -> None:
        """Start the daemon."""
        self.ledger = open_ledger(self.home / "state")
        self.ledger.folder("in", self.to.input_root, self.to.output_root)
        self.names = TempNames(self.home / "state")
        self.committer = Committer(self.ledger, self.names, lambda _: LocalPlace(), self.at)

    def at(self, step: str) -> None:
        """Die here if that is wanted."""
        if step == self.crash_at:
            raise CrashError(step)

    def restart(self) -> list[Committed | Unfinished]:
        """Start again after a crash: recover, then remove stale temporary files."""
        self.ledger.close()
        self.start()
        self.ledger.recover()
        done = list(self.committer.recover(self.to, NOW))
        for root in (self.to.output_root, os.fsencode(self.home / "archive")):
            remove_stale_temps(self.ledger, self.names, root)
        return done

    def drop(self, name: str, content: bytes = b"photo") -> None:
        """Somebody drops a file, and it has settled."""
        path = self.home / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name("new")
        new.write_bytes(content)
        new.replace(path)
        entry = (os.fsencode(name), Fingerprint.of(path.stat()))
        self.ledger.add("in", self.ledger.unknown("in", [entry]), NOW)

    def claim(self) -> Job:
        """The next job."""
        job = self.ledger.claim(NOW, {"in"})
        assert job is not None
        return job

    def prepare(self, job: Job) -> Prepared | Committed:
        """What comes before the work."""
        with self.committer.output_folders() as folders:
            return self.committer.prepare(self.to, job, folders, NOW)

    def work(self, job: Job, losses: tuple[str, ...] = ()) -> Attempt:
        """What a worker does: the staged file is the source with a stamp."""
        prepared = self.prepare(job)
        assert isinstance(prepared, Prepared)
        parent, temp_name = prepared.parent, prepared.temp_name
        temp = Path(os.fsdecode(os.path.join(self.to.output_root, parent, temp_name)))
        source = Path(os.fsdecode(os.path.join(self.to.input_root, job.relative)))
        temp.write_bytes(b"sharp " + source.read_bytes())
        staged = Staged(job.id, temp_name, Fingerprint.of(temp.stat()), 3, 4, 12, model_digest="m")
        return Attempt(replace(staged, losses=losses), "o")

    def commit(self, job: Job, attempt: Attempt, now_s: float = NOW) -> Committed:
        """Commit one staged file; raises its error."""
        ((_, ended),) = self.committer.commit([StagedJob(self.to, job, attempt)], now_s)
        if isinstance(ended, Unfinished):
            raise ended.error
        return ended

    def run(self) -> Committed:
        """One job from claim to disposal."""
        job = self.claim()
        return self.commit(job, self.work(job))

    def run_all(self) -> None:
        """All jobs that are due, one at a time."""
        while job := self.ledger.claim(NOW, {"in"}):
            self.commit(job, self.work(job))

    def taken(self, count: int) -> list[StagedJob]:
        """So many jobs, claimed and worked on, as one group."""
        jobs = [self.claim() for _ in range(count)]
        return [StagedJob(self.to, job, self.work(job)) for job in jobs]

    def files(self, folder: str) -> dict[str, bytes]:
        """Every file in a folder, hidden ones too, with its content."""
        root = self.home / folder
        paths = sorted(path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}

    def state(self, relative: bytes = b"a/x.png") -> State:
        """Path of the input."""
        (outcome,) = self.ledger.outcomes("in", [relative])
        return outcome.state
