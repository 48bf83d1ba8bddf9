"""Ledger writes other than jobs: images that `only_new` skips, and pauses by an operator.

Owns the tables `seen`, `survey` and `hold` (pauses). Rows of `seen` stay until the folder's
`only_new` is switched off. Refuses to change a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.ledger import operator_sql
from sharpend.ledger.records import content_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sharpend.ledger.candidates import FoundFile
    from sharpend.ledger.store import Store


class OperatorState:
    """Base of `Ledger`: write access for decisions that outlast a start."""

    _store: Store

    def begin_survey(self, folder: str, now_s: float) -> float | None:
        """Begin to record the images that are there at the first start of a folder.

        Returns:
            When that began (wall clock), possibly by an earlier process; None if it is complete.
        """
        with self._store.transaction() as cursor:
            cursor.execute(operator_sql.BEGIN_SURVEY, {"folder": folder, "now_s": now_s})
            row = cursor.execute(operator_sql.SURVEY, (folder,)).fetchone()
        return None if row["complete"] else float(row["since"])

    def see(self, folder: str, found: Iterable[FoundFile]) -> None:
        """Record files that are skipped until they change."""
        rows = [(folder, relative, content_text(fingerprint)) for relative, fingerprint in found]
        with self._store.transaction() as cursor:
            cursor.executemany(operator_sql.SEE, rows)

    def end_survey(self, folder: str) -> int:
        """Record that all files of the first start are known; return how many are skipped."""
        with self._store.transaction() as cursor:
            cursor.execute(operator_sql.END_SURVEY, (folder,))
            return int(cursor.execute(operator_sql.SEEN_OF, (folder,)).fetchone()["files"])

    def pause(self, folder: str, now_s: float) -> None:
        """Record the pause of a folder, or of `ALL_FOLDERS`; an older one stays as it is."""
        with self._store.transaction() as cursor:
            cursor.execute(operator_sql.PAUSE, (folder, now_s))

    def resume(self, folder: str) -> None:
        """Forget the pause of a folder; of `ALL_FOLDERS`: every pause."""
        with self._store.transaction() as cursor:
            cursor.execute(operator_sql.RESUME, (folder,))

    def forget_survey(self, folder: str) -> None:
        """Forget the images of a first start: they are new to the ledger from now on."""
        if self._store.row(operator_sql.SURVEY, folder) is None:
            return
        with self._store.transaction() as cursor:
            cursor.execute(operator_sql.FORGET_SEEN, (folder,))
            cursor.execute(operator_sql.FORGET_SURVEY, (folder,))
