"""One input folder: from what lies in it to files that have settled.

Composes the walks, the events and the settling, and owns the folder's state: working or paused.
Refuses to open a file, to conclude anything from a file's absence, and to remember what is
finished: that is the ledger's, asked through a callable.
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from typing import TYPE_CHECKING

from sharpend.files.fingerprint import Fingerprint
from sharpend.intake import filesystem, scan
from sharpend.intake.listen import Listener
from sharpend.intake.protocol import FolderOptions, Step
from sharpend.intake.rounds import Rounds
from sharpend.intake.scan import Found
from sharpend.intake.settle import FINISHED_WAIT_S, NETWORK_WAIT_S, WAIT_S, Settler

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping, Sequence

    from sharpend.intake.protocol import Fresh

_CHECK_S = 2.0  # how soon a folder that was deleted or replaced is noticed
_BATCH = 1000
_POLL_SHARE = 100.0  # looking takes a hundredth of the time


class FolderIntake:
    """Takes one folder in, a small step at a time. All times are monotonic seconds.

    Not thread-safe, and has no thread of its own; only `wake` is called from watchdog's.

    Args:
        options: the folder and how to treat it.
        fresh: returns those of at most 1,000 files that the ledger has neither finished nor queued.
        wake: asks for a step soon; must return at once.
        chance: spreads the scans of several folders.
    """

    def __init__(
        self,
        options: FolderOptions,
        *,
        fresh: Fresh,
        wake: Callable[[], None],
        chance: random.Random,
    ) -> None:
        self._options = options
        self._fresh = fresh
        self._wake = wake
        self._chance = chance
        self._mount: filesystem.Mount | None = None
        self._identity: tuple[int, int] | None = None
        self._begin_anew()

    def step(self, now_s: float) -> Step:
        """Do a small piece of what is to do: one chunk of a walk, one batch of looks."""
        fault = self._fault()
        if fault is not None:
            if self._identity is not None:
                self.restart()
            return Step(now_s + _CHECK_S, paused=fault)
        self._listen(now_s)
        settled = self._walk(now_s)
        settled += self._look(now_s, {found.relative for found in settled})
        return Step(
            self._next_s(now_s),
            settled=settled,
            settling=len(self._settler),
            tally=self._rounds.completed,
            polling=self._listener.polling,
        )

    def unsettle(self, relative: bytes) -> None:
        """Take a file back that changed after it was handed on."""
        self._dirty.setdefault(relative, False)

    def restart(self) -> None:
        """Forget all that was seen: the next step begins with a whole scan."""
        self.close()
        self._identity = None
        self._begin_anew()

    def close(self) -> None:
        """Stop the watch and let go of what is open."""
        self._listener.stop()
        self._rounds.close()

    # The folder as a whole

    def _fault(self) -> str | None:
        """Why the folder cannot be worked on now, or None; adopts a root that came (back)."""
        try:
            identity = scan.identity(self._options.root)
        except (FileNotFoundError, NotADirectoryError):
            return "the folder is gone"
        except OSError as error:
            return f"the folder cannot be read: {error.strerror}"
        if self._identity is None:
            return self._adopt(identity)
        return None if identity == self._identity else "another folder took its place"

    def _adopt(self, identity: tuple[int, int]) -> str | None:
        """Begin with this root, unless it is only the empty place of a missing mount."""
        mount = filesystem.mount_of(self._options.root)
        if self._mount is not None and self._mount.is_lost(now=mount):
            return f"{os.fsdecode(self._mount.point)} is not mounted"
        self._identity, self._mount = identity, mount
        self._begin_anew()
        return None

    def _begin_anew(self) -> None:
        """Stand as before the first scan."""
        options = self._options
        self._settler = Settler()
        self._dirty: dict[bytes, bool] = {}
        self._rounds = Rounds(options.root, recursive=options.recursive, chance=self._chance)
        self._listener = Listener(
            options.root,
            recursive=options.recursive,
            why_polled=self._why_polled(),
            retry_s=options.rescan_s,
            wake=self._wake,
        )

    @property
    def _networked(self) -> str | None:
        return self._mount.kind if self._mount is not None and self._mount.is_networked else None

    def _why_polled(self) -> str | None:
        if self._options.polling:
            return "configured"
        if self._options.polling is None and self._networked is not None:
            return f"{self._networked} does not tell of changes made elsewhere"
        return None

    # What lies in it

    def _listen(self, now_s: float) -> None:
        dirty = self._listener.hear(now_s)
        if dirty.everything:
            self._rounds.want_all()
        self._dirty.update(dirty.paths)

    def _walk(self, now_s: float) -> list[Found]:
        if self._rounds.due(now_s):
            self._listener.renew(now_s)  # first the watch, then the scan: nothing in between
            self._rounds.begin(now_s, every_s=self._scan_every_s())
        return self._consider(self._rounds.advance(now_s), {}, now_s)

    def _scan_every_s(self) -> float:
        """By polling often, but less so where it takes long, and never less than a watch does."""
        options = self._options
        if self._listener.polling is None:
            return options.rescan_s
        seldom_s = min(_POLL_SHARE * self._rounds.took_s, options.rescan_s)
        return max(options.poll_s, seldom_s)

    def _look(self, now_s: float, handed_on: set[bytes]) -> list[Found]:
        """Look at single files: those that events named, and those whose wait is over.

        A file may be met by the walk, by its wait and by an event in one step: the first that
        hands it on is the last that looks, or it would settle, and be handed on, again.
        """
        dirty = dict(islice(self._dirty.items(), _BATCH))
        due = self._settler.due(now_s, limit=_BATCH - len(dirty))
        if not dirty and not due:
            return []
        try:
            with scan.opened(self._options.root) as root:
                changed = [found for path in dirty if (found := self._see(root, path))]
                looked = [found for path in due if (found := self._see(root, path))]
        except OSError:  # the next step's check says why, and the scan finds again what was due
            for path in due:
                self._settler.forget(path)
            return []
        for path in dirty:
            del self._dirty[path]
        looked = [found for found in looked if found.relative not in handed_on]
        settled = [found for found in looked if self._has_settled(found, now_s)]
        handed_on |= {found.relative for found in settled}
        changed = [found for found in changed if found.relative not in handed_on]
        return settled + self._consider(changed, dirty, now_s)

    def _see(self, root: int, relative: bytes) -> Found | None:
        """Look at one path; a directory is left to a walk."""
        status = scan.look(root, relative)
        if status is None:
            self._settler.forget(relative)
            return None
        if stat.S_ISDIR(status.st_mode):
            self._rounds.want_part(relative)
            return None
        return Found(relative, Fingerprint.of(status))

    def _consider(
        self, seen: Sequence[Found], events: Mapping[bytes, bool], now_s: float
    ) -> list[Found]:
        """Look at files, as candidates if the ledger does not know them; those that settled."""
        waiting: list[Found] = []
        others: list[Found] = []
        for found in seen:
            waits = self._settler.waits(found.relative, found.fingerprint)
            (waiting if waits else others).append(found)
        if others:
            waiting.extend(self._fresh(others))
        return [
            found
            for found in waiting
            if self._has_settled(found, now_s, finished=events.get(found.relative, False))
        ]

    def _has_settled(self, found: Found, now_s: float, *, finished: bool = False) -> bool:
        wait_s = self._wait_s(finished=finished)
        return self._settler.look(found.relative, found.fingerprint, now_s=now_s, wait_s=wait_s)

    def _wait_s(self, *, finished: bool) -> float:
        if self._options.settle_s is not None:
            return self._options.settle_s
        if self._networked is not None:
            return NETWORK_WAIT_S
        return FINISHED_WAIT_S if finished else WAIT_S

    def _next_s(self, now_s: float) -> float:
        if self._dirty:
            return now_s
        soonest_s = min(
            self._rounds.next_s(now_s),
            self._settler.next_due_s,
            self._listener.next_s,
            now_s + _CHECK_S,
        )
        return max(now_s, soonest_s)
