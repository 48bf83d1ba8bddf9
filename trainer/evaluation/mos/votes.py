"""The votes of a study: one JSON object a line, to which records are only appended.

Owns the format of `votes.jsonl`, its lock, and the flush of every record to the disk. A last line
without an end, which a killed process leaves, was never confirmed to its rater: readers leave it
out, and the next server cuts it off.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sharpend.errors import StateLockedError, UsageError
from sharpend.files.atomic import fsync_folder
from trainer.evaluation.mos.protocol import LABELS, Method

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self


@dataclass(frozen=True, slots=True)
class Consent:
    """A rater has agreed to take part.

    Attributes:
        rater: digest of the cookie, which itself is not stored.
        study: digest of the study as it was then.
        time_s: seconds since 1970.
    """

    rater: str
    study: str
    time_s: float


@dataclass(frozen=True, slots=True)
class Screen:
    """Circumstances of a trial.

    Attributes:
        dpr: device pixels in a CSS pixel.
        width: inner width of the window, CSS pixels.
        height: inner height of the window, CSS pixels.
        shown_ms: from the images' arrival to the vote.
    """

    dpr: float
    width: int
    height: int
    shown_ms: int


@dataclass(frozen=True, slots=True)
class Vote:
    """One vote.

    Attributes:
        rater: as in Consent.
        trial: number in the rater's order, from 0; votes come in that order.
        stimuli: the id that was rated, or (first, second): the second compared with the first.
        score: on the scale of the method.
        training: does not count.
        screen: how it was seen.
        time_s: seconds since 1970.
    """

    rater: str
    trial: int
    stimuli: tuple[str, ...]
    score: int
    training: bool
    screen: Screen
    time_s: float

    @property
    def method(self) -> Method:
        """The method, by the number of images."""
        return Method.ACR if len(self.stimuli) == 1 else Method.CCR


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A rater wants none of their votes to be used."""

    rater: str
    time_s: float


Record = Consent | Vote | Withdrawal
_EVENTS: dict[str, type[Record]] = {
    "consent": Consent,
    "vote": Vote,
    "withdrawal": Withdrawal,
}
_NAMES = {kind: name for name, kind in _EVENTS.items()}


def read_votes(path: Path) -> list[Record]:
    """Read all whole records; none where there is no file.

    Raises:
        UsageError: a line is no record, or the votes of a rater are not in their order.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return list(_in_order(_parsed(content, path), path))


def check_study(records: Iterable[Record], digest: str, folder: Path) -> None:
    """Check that all raters have agreed to this very study.

    Raises:
        UsageError: one has agreed to another, so that the study was replaced since.
    """
    for record in records:
        if isinstance(record, Consent) and record.study != digest:
            raise UsageError(f"{folder}: was prepared anew after rater {record.rater} had begun")


def _parsed(content: bytes, path: Path) -> Iterator[Record]:
    lines = content.split(b"\n")[:-1]  # behind the last end of a line is nothing, or a torn record
    for number, line in enumerate(lines, start=1):
        try:
            yield _record(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path}: line {number} is no record ({error!r})") from error


def _record(fields: dict[str, Any]) -> Record:
    kind = _EVENTS[fields.pop("event")]
    if kind is not Vote:
        return kind(**fields)
    screen, stimuli = Screen(**fields.pop("screen")), tuple(fields.pop("stimuli"))
    vote = Vote(stimuli=stimuli, screen=screen, **fields)
    if vote.score not in LABELS[vote.method]:
        raise ValueError(f"score {vote.score}")
    return vote


def _in_order(records: Iterable[Record], path: Path) -> Iterator[Record]:
    """Refuse votes without consent, twice, or out of order, as a file merged by hand has them."""
    voted: dict[str, int] = {}
    for record in records:
        if isinstance(record, Consent):
            voted.setdefault(record.rater, 0)
        elif isinstance(record, Vote):
            if voted.get(record.rater) != record.trial:
                raise UsageError(
                    f"{path}: vote {record.trial} of rater {record.rater} is not the next of theirs"
                )
            voted[record.rater] += 1
        yield record


class VoteLog:
    """The file of votes, open for one process.

    Attributes:
        records: those that the file had when it was opened.
        torn_bytes: of a last line without an end, which was cut off.

    Raises:
        StateLockedError: another server has it open.
        UsageError: the file is damaged.
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        try:
            self._lock(path)
            self.records = read_votes(path)
            self._whole_bytes, self.torn_bytes = self._cut(path)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _lock(self, path: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StateLockedError(f"{path}: another `trainer mos serve` works on it") from error

    def _cut(self, path: Path) -> tuple[int, int]:
        """Cut a torn last line off, and make the file's name durable; return what is left, cut."""
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        os.ftruncate(self._descriptor, whole)
        os.fsync(self._descriptor)
        fsync_folder(path.parent)
        return whole, len(content) - whole

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns.

        Raises:
            OSError: it could not be written; the file is as before.
        """
        line = json.dumps({"event": _NAMES[type(record)], **asdict(record)}).encode() + b"\n"
        if os.fstat(self._descriptor).st_nlink == 0:
            raise OSError(errno.ENOENT, "the file of votes was removed")
        try:
            self._take_back()
            self._write(line)
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                self._take_back()
            raise
        self._whole_bytes += len(line)

    def _take_back(self) -> None:
        """Cut off what an append left that failed: the next line would be spoilt by it."""
        if os.fstat(self._descriptor).st_size > self._whole_bytes:
            os.ftruncate(self._descriptor, self._whole_bytes)
            os.fsync(self._descriptor)

    def _write(self, line: bytes) -> None:
        written = os.write(self._descriptor, line)
        if written != len(line):
            raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes were written")
