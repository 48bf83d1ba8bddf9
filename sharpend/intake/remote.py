"""Intake of one folder in object storage: list its objects and report those that are inputs.

Owns the interval of the listings. An object appears whole, so nothing has to settle. Refuses to
read an object, to conclude anything from a missing one, and to list all the time: it costs money.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sharpend.files.objects.bucket import Bucket
from sharpend.files.remote import STORE_FAULT
from sharpend.imaging.formats import format_of
from sharpend.intake.interface import Step
from sharpend.intake.junk import ignored
from sharpend.intake.tally import EXCLUDED, Found, Tally, kind_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from sharpend.files.objects.bucket import Object
    from sharpend.intake.interface import FolderOptions, Fresh

NO_PATH = "key that is no path"
"""Cause why an object is left alone: no file could have its key as a path."""
LISTED = "object storage reports no changes"
RETRY_S = 5.0
"""Wait after a listing that failed."""
_SHARE = 20.0
"""Multiple of the last listing's duration: listings take at most 5 % of the time."""
_EARLIEST, _LATEST = 0.75, 1.25
_BATCH = 100


class RemoteIntake:
    """Intake of one folder in object storage. All times are monotonic seconds.

    Args:
        options: of the folder.
        fresh: selects the objects that are new to the ledger.
        chance: spreads the listings of several folders.
    """

    def __init__(self, options: FolderOptions, *, fresh: Fresh, chance: random.Random) -> None:
        self._options = options
        self._fresh = fresh
        self._chance = chance
        self._bucket = Bucket(options.root)
        self._dirty: list[bytes] = []
        self._completed: Tally | None = None
        self._due_s = -math.inf
        self._began_s = 0.0
        self._tally = Tally()
        self._pages: Iterator[list[Found]] | None = None

    def step(self, now_s: float) -> Step:
        """Look at single objects, or at one page of the list."""
        try:
            settled = self._looked_at() if self._dirty else self._listed(now_s)
        except OSError as error:
            self.restart()
            return Step(now_s + RETRY_S, paused=error.strerror or str(error), polling=LISTED)
        is_busy = self._pages is not None or self._dirty
        return Step(
            now_s if is_busy else self._due_s,
            settled=settled,
            settling=int(bool(is_busy)),
            tally=self._completed,
            polling=LISTED,
        )

    def unsettle(self, relative: bytes) -> None:
        """Look again at an object that was replaced after it was listed."""
        self._dirty.append(relative)

    def restart(self) -> None:
        """Discard all state: the next step begins a list."""
        self._pages, self._completed, self._due_s = None, None, -math.inf

    def close(self) -> None:
        """Discard the list in progress."""
        self._pages = None

    def _looked_at(self) -> list[Found]:
        some, tally = self._dirty[:_BATCH], Tally()
        found = [one for relative in some if (one := self._look(relative, tally)) is not None]
        settled = list(self._fresh(found)) if found else []
        del self._dirty[: len(some)]
        return settled

    def _listed(self, now_s: float) -> list[Found]:
        """Return the new inputs of the next page, of a new list where one is due."""
        if self._pages is None:
            if now_s < self._due_s:
                return []
            self._tally, self._began_s = Tally(), now_s
            self._pages = inputs(self._options, self._tally)
        page = next(self._pages, None)
        if page is None:
            self._end(now_s)
            return []
        return list(self._fresh(page)) if page else []

    def _end(self, now_s: float) -> None:
        self._pages, self._completed = None, self._tally
        every_s = max(self._options.rescan_s, _SHARE * (now_s - self._began_s))
        self._due_s = now_s + every_s * self._chance.uniform(_EARLIEST, _LATEST)

    def _look(self, relative: bytes, tally: Tally) -> Found | None:
        """Look at one object; what the store refuses of it does not hold up the others."""
        try:
            return look(self._bucket, self._options, relative, tally)
        except OSError as error:
            if error.errno == STORE_FAULT:
                raise
            return None  # the next list reports it, and its transfer says what is wrong


def inputs(options: FolderOptions, tally: Tally) -> Iterator[list[Found]]:
    """Find every input of a folder in object storage, or those of the paths `options.only`.

    Args:
        options: of the folder.
        tally: counts what is found, and what is left alone.

    Yields:
        The inputs of each page; OSError where the store does not list them.
    """
    bucket = Bucket(options.root)
    if options.only is not None:
        looked = (look(bucket, options, relative, tally) for relative in options.only)
        yield [one for one in looked if one is not None]
        return
    token, is_last = None, False
    while not is_last:
        objects, token = bucket.page(token, recursive=options.recursive)
        is_last = token is None
        found = (_classified(one, bucket, options, tally) for one in objects)
        yield [one for one in found if one is not None]


def look(bucket: Bucket, options: FolderOptions, relative: bytes, tally: Tally) -> Found | None:
    """Look at one object; None if it is missing or no input."""
    try:
        return _classified(bucket.head(bucket.address.key(relative)), bucket, options, tally)
    except FileNotFoundError:
        return None


def _classified(one: Object, bucket: Bucket, options: FolderOptions, tally: Tally) -> Found | None:
    """Return an input; count everything else. A key with a slash at its end is a folder."""
    relative = bucket.address.relative(one.key)
    if relative is None:
        if not one.key.endswith("/"):
            tally.ignore(NO_PATH)
        return None
    name = relative.rpartition(b"/")[2]
    if any(ignored(part) for part in relative.split(b"/")):
        tally.ignored += 1
    elif format_of(name) is None:
        tally.ignore(kind_of(name))
    elif options.patterns.leaves_out(relative):
        tally.ignore(EXCLUDED)
    else:
        tally.found += 1
        return Found(relative, one.as_input, float(one.modified_s))
    return None
