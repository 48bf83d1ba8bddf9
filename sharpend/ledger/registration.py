"""Ledger writes of the intake: folders with their roots, settled files, outputs found again.

Owns every row that is new. Whether a settled file is done already is decided in `daemon.registrar`.
State transitions of existing jobs are in `sharpend.ledger.ledger`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.errors import LedgerError
from sharpend.ledger import sql
from sharpend.ledger.case_folding import name_key
from sharpend.ledger.records import Added, binary, fingerprint_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sharpend.ledger.candidates import FoundFile, RecognisedFile
    from sharpend.ledger.records import Product
    from sharpend.ledger.store import Store


class Registration:
    """Base of `Ledger`: write access for new folders and new jobs.

    Every method raises LedgerError (StateFaultError where the disk is at fault), and leaves the
    ledger as it was when it raises.
    """

    _store: Store

    def folder(self, name: str, input_root: bytes, output_root: bytes) -> str:
        """Return the permanent name of a folder, identified by its two roots.

        Returns:
            The name it got when first seen: `name`, or `name-2`, … where that was taken.
        """
        with self._store.transaction() as cursor:
            row = cursor.execute(sql.FOLDER, (input_root, output_root)).fetchone()
            if row is not None:
                return str(row["name"])
            unique, number = name, 1
            while cursor.execute(sql.FOLDER_ID, (unique,)).fetchone():
                number += 1
                unique = f"{name}-{number}"
            cursor.execute(sql.NEW_FOLDER, (unique, input_root, output_root))
            return unique

    def saw_roots(self, folder: str, roots: str, now_s: float) -> None:
        """Store the identity of the root folders, and the time of its last change."""
        with self._store.transaction() as cursor:
            cursor.execute(sql.SAW_ROOTS, {"folder": folder, "roots": roots, "now_s": now_s})

    def record_root(self, folder: str, path: bytes, identity: str) -> None:
        """Store the identity of one root."""
        with self._store.transaction() as cursor:
            cursor.execute(sql.RECORD_ROOT, {"folder": folder, "path": path, "seen": identity})

    def accept_roots(self, folder: str) -> None:
        """Forget the identity of a folder's roots: the present ones are accepted."""
        with self._store.transaction() as cursor:
            cursor.execute(sql.ACCEPT_ROOTS, (folder,))

    def add(self, folder: str, found: Iterable[FoundFile], now_s: float) -> Added:
        """Add settled files as pending jobs; older unfinished jobs of their paths are deleted.

        So are their refusals, unless the refused file was moved: a path counts once. A finished job
        of the same path stays until the new one is finished, which may replace its output. A file
        that has a job already is not changed.
        """
        entries = [(relative, fingerprint_text(fingerprint)) for relative, fingerprint in found]
        with self._store.transaction() as cursor:
            row = cursor.execute(sql.FOLDER_ID, (folder,)).fetchone()
            if row is None:
                raise LedgerError(f"folder {folder!r} is not in the ledger")
            keys = [(row["id"], *entry) for entry in entries]
            superseded = [
                (key[1], old["note"])
                for key in keys
                for old in cursor.execute(sql.SUPERSEDED_NOTES, key)
            ]
            cursor.executemany(sql.SUPERSEDE, keys)
            cursor.executemany(sql.FORGET_SUPERSEDED, keys)
            added = cursor.executemany(sql.ADD, [(*key, now_s) for key in keys])
            return Added(added.rowcount, superseded)

    def adopt(self, folder: str, made: Iterable[tuple[FoundFile, Product]], now_s: float) -> None:
        """Record existing outputs that this ledger did not know, each made from an input."""
        with self._store.transaction() as cursor:
            for (relative, fingerprint), product in made:
                values = {
                    "folder": folder,
                    "relative": relative,
                    "mark": fingerprint_text(fingerprint),
                    "digest": binary(product.input_digest),
                    "output": product.output,
                    "output_mark": fingerprint_text(product.fingerprint),
                    "output_key": name_key(product.output),
                    "now_s": now_s,
                }
                cursor.execute(sql.FORGET_VANISHED, values)
                cursor.execute(sql.ADOPT, values)

    def recognise(self, folder: str, found: Iterable[RecognisedFile], now_s: float) -> None:
        """Record that files are the inputs of jobs of this folder, or of others with its output."""
        with self._store.transaction() as cursor:
            for one in found:
                values = {
                    "id": one.job.job_id,
                    "folder": folder,
                    "relative": one.relative,
                    "mark": fingerprint_text(one.fingerprint),
                    "digest": binary(one.digest),
                    "now_s": now_s,
                }
                cursor.execute(sql.FORGET_VANISHED, values)
                cursor.execute(sql.RENUMBER if one.job.is_own else sql.COPY, values)

    def adopts_no_more(self, folder: str) -> None:
        """Record that a folder was scanned whole: files that come from now on are new."""
        with self._store.transaction() as cursor:
            cursor.execute(sql.ADOPTS_NO_MORE, (folder,))

    def move_roots(self, folder: str, input_root: bytes, output_root: bytes) -> None:
        """Record that a folder's roots have other paths now; its jobs stay as they are.

        Roots at the new paths count as never seen, on any disk.

        If a folder with these roots exists, it gets the jobs, and those that wait there although
        they are finished here are deleted.
        """
        values = {"folder": folder, "input": input_root, "output": output_root}
        with self._store.transaction() as cursor:
            other = cursor.execute(sql.FOLDER, (input_root, output_root)).fetchone()
            if other is None or other["name"] == folder:
                cursor.execute(sql.FORGET_MOVED_ROOTS, values)
                cursor.execute(sql.MOVE_ROOTS, values)
                return
            for statement in (sql.FORGET_REPEATED, sql.MOVE_JOBS, sql.FORGET_JOBS):
                cursor.execute(statement, {"folder": folder, "into": other["id"]})
            cursor.execute(sql.FORGET_ROOTS, {"folder": folder})
            cursor.execute(sql.FORGET_FOLDER, {"folder": folder})
