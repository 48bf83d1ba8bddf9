"""Registration of settled files in the ledger: as known, as done (output exists), or as new.

Owns the decision which of these a settled file is. A file whose inode number alone differs is
compared by content. In a folder that is new to the ledger, and after the ledger was lost, files are
also compared with jobs of other folders that have the same output, and with the outputs that exist.
Logs how many were recognised.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sharpend.commit.adoption import Existing, existing_output
from sharpend.daemon.content_comparison import ContentComparison, Question
from sharpend.daemon.early_reads import EarlyReads
from sharpend.daemon.only_new import OnlyNew
from sharpend.daemon.registrar_interface import FolderWake, RegistrarInterface
from sharpend.files.remote import is_remote
from sharpend.ledger.candidates import RecognisedFile
from sharpend.logs.events import Event
from sharpend.policies import ExistingPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sharpend.daemon.folder_plan import FolderPlan
    from sharpend.intake.tally import Found
    from sharpend.ledger.candidates import FoundFile
    from sharpend.ledger.ledger import Ledger
    from sharpend.logs.logs import Log


class Registrar(RegistrarInterface):
    """Entry of one folder's files; all methods are called from one thread.

    Every method raises LedgerError where the ledger cannot be used.

    Args:
        plan: of the folder.
        ledger: records the files.
        log: for what was recognised, and for refused files that have changed since.
        wake: wakes the main loop, from any thread.
    """

    def __init__(
        self,
        plan: FolderPlan,
        ledger: Ledger,
        log: Log,
        *,
        wake: Callable[[], None],
    ) -> None:
        self._destination = destination = plan.destination
        self._folder = destination.folder
        self._ledger = ledger
        self._log = log
        only_new = plan.only_new if plan.intake.only is None else None
        self._only_new = OnlyNew(ledger.unknown, ledger, log, self._folder, only_new=only_new)
        self.wake = FolderWake(wake)
        self.early_reads = EarlyReads(self._folder, log)
        self._skips = destination.existing is ExistingPolicy.SKIP
        """Leave any file with an output's name as it is, so none is read."""
        self._comparison = ContentComparison(destination, self.wake)
        self._is_new = ledger.adopts(self._folder)
        self._adopted = 0

    def fresh(self, found: Sequence[Found]) -> list[Found]:
        """Return the files that the ledger has neither finished nor queued nor seen."""
        fresh = self._only_new.fresh(found)
        return [one for one in fresh if not self._comparison.holds(one.relative)]

    def scanned(self) -> None:
        """Record that a full scan has found every file that was there before it."""
        self._only_new.scanned()

    def register(self, entries: Sequence[FoundFile]) -> tuple[list[bytes], str]:
        """Enter settled files, or begin to compare them: see `RegistrarInterface`."""
        known, adopted, questions, unread, cause = [], [], [], [], ""
        candidates = dict(self._ledger.candidates(self._folder, entries))
        for entry, jobs in candidates.items():
            sure = [job for job in jobs if job.fingerprint.is_same_file(entry[1])]
            if sure:
                known.append(RecognisedFile(*entry, sure[0]))
            else:
                questions.append(Question(entry, tuple(jobs)))
        new = []
        for entry in entries:
            if entry in candidates:
                continue
            try:
                existing = self._existing(entry)
            except OSError as error:  # unknown whether it exists; it must not be made twice
                unread.append(entry[0])
                cause = error.strerror or str(error)
                continue
            if existing is None or (self._skips and not existing.is_certain):
                new.append(entry)
            elif existing.is_certain:
                adopted.append(existing)
            else:
                questions.append(Question(entry, existing=existing))
        self._enter(known, adopted, new)
        self._comparison.ask(questions)
        return unread, cause

    def collect(self) -> list[bytes]:
        """Enter the files that were compared; return paths of those that changed meanwhile."""
        changed, known, adopted, new = [], [], [], []
        for answer in self._comparison.answers():
            if answer.has_changed:
                changed.append(answer.found[0])
            elif answer.job is not None:
                known.append(RecognisedFile(*answer.found, answer.job, answer.digest))
            elif answer.existing is not None:
                adopted.append(answer.existing.made_of(answer.digest))
            else:
                new.append(answer.found)
        self._enter(known, adopted, new)
        return changed

    @property
    def is_busy(self) -> bool:
        """True while files are compared."""
        return self._comparison.is_busy

    def complete_scan(self) -> None:
        """Record that every file of the folder was entered: later ones are new."""
        if self._is_new:
            self._ledger.adopts_no_more(self._folder)
            self._is_new = False
        if self._adopted:
            self._log.warning(Event.FOLDER_ADOPTED, folder=self._folder, images=self._adopted)
            self._adopted = 0

    def close(self) -> None:
        """Stop comparing."""
        self._comparison.close()

    def _existing(self, entry: FoundFile) -> Existing | None:
        """Look for an output of the file that the ledger does not know, where there may be one."""
        destination = self._destination
        if is_remote(destination.input_root) or is_remote(
            destination.output_root
        ):  # equal bytes show it later
            return None
        if not self._is_new and not self._ledger.rebuilt:
            return None
        return existing_output(destination, entry)

    def _enter(
        self, known: list[RecognisedFile], adopted: list[Existing], new: list[FoundFile]
    ) -> None:
        """Record the verdicts, each kind in one transaction."""
        now_s = time.time()
        if known:
            self._ledger.recognise(self._folder, known, now_s)
        others = self._adopt(adopted, now_s) if adopted else []
        if new or others:
            added = self._ledger.add(self._folder, [*new, *others], now_s)
            self.early_reads.superseded(added.superseded)
        self._adopted += len(adopted) - len(others) + sum(not one.job.is_own for one in known)

    def _adopt(self, existing: list[Existing], now_s: float) -> list[FoundFile]:
        """Record inputs as finished with their existing outputs.

        Returns:
            Inputs whose output another one has adopted or made: these have to be sharpened.
        """
        adopted: dict[bytes, Existing] = {}
        others = []
        for one in existing:
            output, made = one.product.output, one.product.fingerprint
            if output in adopted or self._ledger.output_owner(self._folder, made) is not None:
                others.append(one.found)
            else:
                adopted[output] = one
        pairs = [(one.found, one.product) for one in adopted.values()]
        self._ledger.adopt(self._folder, pairs, now_s)
        return others
