"""A daemon's ledger and committer with outputs in object storage, and a worker that stamps."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.attempt import Staged
from sharpend.commit.committer import Committer
from sharpend.commit.destination import Destination, TempNames
from sharpend.commit.interface import StagedElsewhereError
from sharpend.commit.places import place_of
from sharpend.commit.publication import Attempt, StagedJob
from sharpend.commit.results import Committed, Prepared, Unfinished
from sharpend.commit.stale import remove_stale_uploads
from sharpend.files.objects.bucket import Bucket
from sharpend.files.objects.uploads import OUTPUT, Uploads
from sharpend.ledger.opening import open_ledger
from sharpend.policies import SourcePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.records import Job

NOW = 1_000_000.0
STAMP = b"sharp "


class RemoteShop:
    """A daemon's ledger and committer; inputs and outputs are in one bucket.

    Args:
        home: for the state directory.
        bucket: with `in/`, `out/` and `archive/`.
        at: called with the name of each step, of uploads and of the commit.
    """

    def __init__(self, home: Path, bucket: str, at: Callable[[str], None] = lambda _: None) -> None:
        self.bucket = bucket
        self.spool = os.fsencode(home / "spool")
        self.uploads = Uploads(self.spool, at)
        self.to = Destination(
            "in",
            f"s3://{bucket}/in".encode(),
            f"s3://{bucket}/out".encode(),
            archive_root=f"s3://{bucket}/archive".encode(),
        )
        self.ledger = open_ledger(home)
        self.ledger.folder("in", self.to.input_root, self.to.output_root)
        self.names = TempNames(home)
        self.committer = Committer(
            self.ledger, self.names, partial(place_of, uploads=self.uploads), at
        )

    def start(self) -> list[Committed | Unfinished]:
        """Do what a daemon does first."""
        self.ledger.recover()
        done = list(self.committer.recover(self.to, NOW))
        remove_stale_uploads(self.ledger, self.spool)
        return done

    def take(self) -> None:
        """List the inputs and enter the new ones."""
        bucket = Bucket(self.to.input_root)
        listed, _ = bucket.page(None)
        found = [(bucket.address.relative(one.key) or b"", one.as_input) for one in listed]
        self.ledger.add("in", self.ledger.unknown("in", found), NOW)

    def claim(self) -> Job:
        """The next job."""
        job = self.ledger.claim(NOW, {"in"})
        assert job is not None
        return job

    def work(self, job: Job, made: bytes | None = None) -> Attempt:
        """Stage the source with a stamp, or other bytes."""
        with self.committer.output_folders() as folders:
            prepared = self.committer.prepare(self.to, job, folders, NOW)
        assert isinstance(prepared, Prepared)
        if made is None:
            source = Bucket(self.to.input_root)
            with source.opened(source.address.key(job.relative)) as (_, chunks):
                made = STAMP + b"".join(chunks)
        (self.uploads.folder(prepared.temp_name) / OUTPUT).write_bytes(made)
        path = os.path.join(prepared.parent, prepared.name)
        mark = self.uploads.upload(prepared.temp_name, self.to.output_root, path)
        return Attempt(Staged(job.id, prepared.temp_name, mark, 3, 4, 12, model_digest="m"), "o")

    def commit(self, *pairs: tuple[Job, Attempt]) -> list[Committed | Unfinished]:
        """Commit staged files as a group."""
        group = [StagedJob(self.to, job, attempt) for job, attempt in pairs]
        return [ended for _, ended in self.committer.commit(group, NOW)]

    def finish(self, job: Job, attempt: Attempt) -> Committed:
        """Commit one staged file, staged anew where its name is taken; raises its error."""
        (ended,) = self.commit((job, attempt))
        if not isinstance(ended, Unfinished):
            return ended
        if not isinstance(ended.error, StagedElsewhereError):
            raise ended.error
        job = self.claim()
        return self.finish(job, self.work(job))

    def run(self) -> Committed | Unfinished:
        """One job from claim to disposal."""
        job = self.claim()
        (ended,) = self.commit((job, self.work(job)))
        anew = isinstance(ended, Unfinished) and isinstance(ended.error, StagedElsewhereError)
        return self.run() if anew else ended

    def run_all(self) -> Iterator[Committed | Unfinished]:
        """All jobs that are due, one at a time; an input that is gone has vanished."""
        while job := self.ledger.claim(NOW, {"in"}):
            try:
                attempt = self.work(job)
            except FileNotFoundError:
                self.ledger.vanish(job)
            else:
                yield from self.commit((job, attempt))

    def with_source(self, source: SourcePolicy) -> None:
        """Change the policy of sources."""
        self.to = replace(self.to, source=source)

    def fingerprint(self, key: str) -> Fingerprint:
        """The fingerprint of an input as it is now."""
        return Bucket(self.to.input_root).head(key).as_input


def main(home: str, bucket: str, source: str) -> None:
    """Start, and do what there is to do; tell of each step on standard output."""
    Path(home).mkdir(exist_ok=True)
    shop = RemoteShop(Path(home), bucket, _tell)
    shop.with_source(SourcePolicy(source))
    shop.start()
    shop.take()
    list(shop.run_all())


def _tell(step: str) -> None:
    sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
