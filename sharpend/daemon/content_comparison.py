"""Comparison of found files by content with ledger and outputs, in a thread.

Owns that thread, and the verdict: a file is the input of an earlier job if its digest is the one in
the ledger (or the ledger has none), and the input of an existing output if the record in that names
its digest. Reads files and nothing else: the ledger is used by the caller's thread alone. Questions
that are open when the daemon ends are asked again after the next scan.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sharpend.commit.adoption import is_made_from
from sharpend.errors import ImageRefusedError
from sharpend.files.digest import digest_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sharpend.commit.adoption import Existing
    from sharpend.commit.destination import Destination
    from sharpend.ledger.candidates import Candidate, FoundFile


@dataclass(frozen=True, slots=True)
class Question:
    """A settled file, with the jobs whose input it may be, or the output that it may have."""

    found: FoundFile
    jobs: tuple[Candidate, ...] = ()
    existing: Existing | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Verdict on one file; neither `job` nor `existing` for a new one."""

    found: FoundFile
    digest: str | None = None
    """SHA-256 of the file; None where it could not be read."""
    job: Candidate | None = None
    existing: Existing | None = None
    has_changed: bool = False
    """True if it is gone or another file now."""


class ContentComparison:
    """Comparison of the files of one folder; all methods are called from one thread.

    Args:
        destination: with the roots that are read below.
        wake: called from the comparing thread when an answer waits.
    """

    def __init__(self, destination: Destination, wake: Callable[[], None]) -> None:
        self._destination = destination
        self._wake = wake
        self._open: set[bytes] = set()
        self._questions: queue.SimpleQueue[Question | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """True while answers are due."""
        return bool(self._open)

    def holds(self, relative: bytes) -> bool:
        """Return whether an answer about the file at a path is due."""
        return relative in self._open

    def ask(self, questions: Iterable[Question]) -> None:
        """Compare these files; the answers come in their order."""
        for question in questions:
            self._open.add(question.found[0])
            self._questions.put(question)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="compare", daemon=True)
                self._thread.start()

    def answers(self) -> list[Answer]:
        """Return the answers since the last call."""
        given = []
        while not self._answers.empty():
            given.append(self._answers.get())
            self._open.discard(given[-1].found[0])
        return given

    def close(self) -> None:
        """End the thread after the present file; the other questions are dropped."""
        while not self._questions.empty():
            self._questions.get()
        self._questions.put(None)

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            self._answers.put(judge(self._destination, question))
            self._wake()


def judge(destination: Destination, question: Question) -> Answer:
    """Compare one file by content; one that cannot be read counts as new."""
    found = question.found
    try:
        digest = digest_at(destination.input_root, *found)
        if digest is None:
            return Answer(found, has_changed=True)
        jobs = sorted(
            (job for job in question.jobs if job.digest in {None, digest}),
            key=lambda job: job.digest is None,
        )
        if jobs:
            return Answer(found, digest, job=jobs[0])
        existing = question.existing
        if existing is not None and is_made_from(existing, destination, digest):
            return Answer(found, digest, existing=existing)
    except FileNotFoundError:
        return Answer(found, has_changed=True)
    except (OSError, ImageRefusedError):
        return Answer(found)
    return Answer(found, digest)
