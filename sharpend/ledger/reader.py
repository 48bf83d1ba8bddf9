"""Ledger queries: numbers, outcomes, unknown inputs, owners of outputs.

Owns every query that changes nothing; `status` opens this half alone, beside a running daemon.
Never loads a whole table: answers are bounded, or read in pages while rows may change.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Self

from sharpend.ledger import counts_sql, operator_sql, sql
from sharpend.ledger.candidates import Candidate, FoundFile
from sharpend.ledger.case_folding import name_key
from sharpend.ledger.records import (
    Claim,
    CompletedJob,
    FinishTimes,
    Job,
    KnownInput,
    Listed,
    Owner,
    Product,
    Quarantined,
    State,
    content_of,
    content_text,
    ended_of,
    fingerprint_of,
    fingerprint_text,
    job_of,
    listed_of,
    outcome_of,
    product_of,
    quarantined_of,
)
from sharpend.ledger.store import Store, open_to_read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sharpend.files.fingerprint import Fingerprint
    from sharpend.ledger.records import LedgerRow

_PAGE = 200
ALL_FOLDERS = ""
"""All folders, as an entry of `pauses`."""


class LedgerReader:
    """Read access to the ledger, for any process: LedgerError where the file cannot be read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._upgraded = False

    @classmethod
    def read_only(cls, state_dir: Path) -> LedgerReader:
        """Open without a lock, beside a daemon that may be running.

        Raises:
            LedgerError: there is no ledger, or a newer version wrote it.
        """
        return LedgerReader(open_to_read(state_dir))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def counts(self) -> dict[State, int]:
        """Return the number of jobs in each state; every state has its key."""
        rows = self._store.rows(self._store.counting(counts_sql.COUNTS))
        return dict.fromkeys(State, 0) | {State(row["state"]): row["jobs"] for row in rows}

    def folders(self) -> list[tuple[str, tuple[bytes, bytes]]]:
        """List all folders ever used: name, input root and output root."""
        rows = self._store.rows(sql.FOLDERS)
        return [(row["name"], (row["input"], row["output"])) for row in rows]

    def folder_name(self, input_root: bytes, output_root: bytes) -> str | None:
        """Return the permanent name of a folder, or None if it was never used."""
        row = self._store.row(sql.FOLDER, input_root, output_root)
        return None if row is None else row["name"]

    def waiting(self, folders: Iterable[str]) -> int:
        """Return the number of unfinished jobs of these folders: queued, in progress, deferred."""
        query = self._store.counting(counts_sql.WAITING)
        return sum(self._store.rows(query, folder)[0]["jobs"] for folder in folders)

    def oldest_pending_at(self, folders: Iterable[str]) -> float | None:
        """Time when the oldest pending job of these folders was added (wall clock)."""
        rows = [self._store.rows(sql.OLDEST_PENDING, folder)[0] for folder in folders]
        return min((row["at"] for row in rows if row["at"] is not None), default=None)

    def unknown(self, folder: str, found: Iterable[FoundFile]) -> Iterator[FoundFile]:
        """Return those of `found` that were not seen and have no job, or one that vanished.

        An inode number that does not last, 0, is equal to any.
        """
        return self.unseen(folder, self._without_job(folder, found))

    def unseen(self, folder: str, found: Iterable[FoundFile]) -> Iterator[FoundFile]:
        """Return those of `found` that were not there at the first start, or changed since."""
        return self._without_skipped(folder, found) if self._is_upgraded() else iter(found)

    def _without_job(self, folder: str, found: Iterable[FoundFile]) -> Iterator[FoundFile]:
        for batch, rows in self._batches(sql.KNOWN_KEYS, folder, found):
            known: set[tuple[bytes, str]] = set()
            for row in rows:
                relative, text = row["relative"], str(row["mark"])
                content, _, inode = text.rpartition(":")
                known |= {(relative, text), (relative, f"{content}:0")}
                if inode == "0":
                    known.add((relative, content))
            for relative, fingerprint in batch:
                text = fingerprint_text(fingerprint)
                if known.isdisjoint({(relative, text), (relative, text.rpartition(":")[0])}):
                    yield relative, fingerprint

    def _without_skipped(self, folder: str, found: Iterable[FoundFile]) -> Iterator[FoundFile]:
        for batch, rows in self._batches(operator_sql.SEEN, folder, found):
            skipped = {(row["relative"], row["mark"]) for row in rows}
            yield from (one for one in batch if (one[0], content_text(one[1])) not in skipped)

    def candidates(
        self, folder: str, found: Iterable[FoundFile]
    ) -> Iterator[tuple[FoundFile, list[Candidate]]]:
        """Return those of `found` that may be inputs of finished or refused jobs, with these jobs.

        Path, size and time are equal; the inode number differs, or the job is one of another folder
        with the same output, while this folder is new to the ledger.
        """
        for batch, rows in self._batches(sql.ALIKE, folder, found):
            jobs: dict[bytes, list[Candidate]] = {}
            for row in rows:
                made = fingerprint_of(row["mark"])
                one = Candidate(row["id"], made, content_of(row["digest"]), is_own=bool(row["own"]))
                jobs.setdefault(row["relative"], []).append(one)
            for entry in batch:
                same = [
                    job for job in jobs.get(entry[0], ()) if job.fingerprint.same_content(entry[1])
                ]
                if same:
                    yield entry, same

    def _batches(
        self, query: str, folder: str, found: Iterable[FoundFile]
    ) -> Iterator[tuple[list[FoundFile], list[LedgerRow]]]:
        """Ask a query about the paths of each batch of `found`."""
        remaining = iter(found)
        while batch := list(islice(remaining, sql.KEYS_PER_QUERY)):
            names = [relative for relative, _ in batch]
            names += names[-1:] * (sql.KEYS_PER_QUERY - len(names))
            yield batch, list(self._store.rows(query, folder, *names))

    def skipped(self, folder: str) -> int:
        """Count the files that stay as they are because they were there at the first start."""
        row = self._standing(operator_sql.SEEN_OF, folder)
        return 0 if row is None else int(row["files"])

    def pauses(self) -> dict[str, float]:
        """Return since when folders are paused by an operator (wall clock), by name."""
        rows = self._store.rows(operator_sql.PAUSES) if self._is_upgraded() else []
        return {row["folder"]: row["since"] for row in rows}

    def is_surveyed(self, folder: str) -> bool:
        """Return whether the files of the folder's first start are known."""
        row = self._standing(operator_sql.SURVEY, folder)
        return row is not None and bool(row["complete"])

    def _standing(self, query: str, *values: object) -> LedgerRow | None:
        """Return the first row of a table that a ledger which was not upgraded yet lacks."""
        return self._store.row(query, *values) if self._is_upgraded() else None

    def _is_upgraded(self) -> bool:
        """Return whether the ledger has the tables of operators; once there, they stay."""
        self._upgraded = self._upgraded or self._store.row(sql.HAS_OPERATOR_STATE) is not None
        return self._upgraded

    def adopts(self, folder: str) -> bool:
        """Return whether a folder was not scanned whole since the ledger knows it."""
        return any(row["adopts"] for row in self._store.rows(sql.ADOPTS, folder))

    def installation(self) -> str:
        """Return the random name of this ledger; copies of it have the same."""
        return "".join(row["id"] for row in self._store.rows(sql.INSTALLATION))

    def earlier_output(self, folder: str) -> tuple[str, bytes, int] | None:
        """Return the folder that had the same input before, its output, and the images done."""
        row = self._store.row(sql.EARLIER_OUTPUT, folder)
        return None if row is None else (row["name"], row["output"], row["jobs"])

    def sample(self, folder: str, most: int) -> tuple[list[bytes], list[bytes]]:
        """Return paths of inputs and of outputs that were there last, at most `most` of each."""
        inputs = self._store.rows(sql.INPUT_SAMPLE, folder, most)
        outputs = self._store.rows(sql.OUTPUT_SAMPLE, folder, most)
        return [row[0] for row in inputs], [row[0] for row in outputs]

    def outcomes(self, folder: str, relatives: Iterable[bytes]) -> Iterator[KnownInput]:
        """Return the last outcome of each input; inputs unknown to the ledger are left out."""
        for relative in relatives:
            row = self._store.row(sql.OUTCOME, folder, relative)
            if row is not None:
                yield outcome_of(row)

    def finished(self, most: int) -> list[FinishTimes]:
        """Return the sharpened images that were found last, at most `most`."""
        return [FinishTimes(*row) for row in self._store.rows(sql.FINISHED, most)]

    def output_owner(self, folder: str, fingerprint: Fingerprint) -> Owner | None:
        """Return the input whose output a file is; None for a foreign file."""
        row = self._store.row(sql.OWNER, fingerprint_text(fingerprint), folder)
        return None if row is None else _owner_of(row)

    def claims(self, folder: str, output: bytes) -> list[Claim]:
        """List the inputs that were given this output name, or one that differs in case or form."""
        rows = self._store.rows(sql.TWINS, name_key(output), folder)
        return [Claim(_owner_of(row), row[3], fingerprint_of(row[4])) for row in rows]

    def previous_output(self, folder: str, relative: bytes) -> bytes | None:
        """Return the last output of the input at this path, below the output root."""
        row = self._store.row(sql.PREVIOUS, folder, relative)
        return None if row is None else row["output"]

    def let_go_below(self, folder: str, relative: bytes) -> float | None:
        """Return when the last image was done whose source left this sub-folder (wall clock)."""
        last = relative + b"/" + b"\xff" * 256  # no name is as long
        row = self._store.row(sql.LET_GO_BELOW, folder, relative + b"/", last)
        return None if row is None else row[0]

    def job(self, job_id: int) -> Job | None:
        """Return the job in its current state."""
        row = self._store.row(sql.BY_ID, job_id)
        return None if row is None else job_of(row)

    def running(self) -> Iterator[Job]:
        """Iterate over running jobs; rows may change meanwhile."""
        yield from map(job_of, self._pages(State.RUNNING))

    def unfinished(self, state: State) -> Iterator[tuple[Job, Product]]:
        """Iterate over staged (or done) jobs with their products, for recovery."""
        for row in self._pages(state, sql.PRODUCTS):
            yield job_of(row), product_of(row)

    def quarantined(self) -> Iterator[Quarantined]:
        """Iterate over quarantined jobs with their reasons; rows may change meanwhile."""
        yield from map(quarantined_of, self._pages(State.QUARANTINED))

    def leaving(self, folder: str, now_s: float, most: int) -> list[Quarantined]:
        """List refused sources of a folder that may leave their place by now, at most `most`."""
        return [quarantined_of(row) for row in self._store.rows(sql.LEAVING, folder, now_s, most)]

    def listed(self, *states: State) -> Iterator[Listed]:
        """Iterate over the jobs in these states; rows may change meanwhile."""
        for state in states:
            yield from map(listed_of, self._pages(state))

    def ended(self, state: State) -> Iterator[CompletedJob]:
        """Iterate over disposed (or vanished) jobs, oldest first; rows may change meanwhile."""
        yield from map(ended_of, self._pages(state))

    def roots(self, folder: str) -> tuple[str | None, float]:
        """Return the identity of a folder's roots when last seen, and since when (wall clock)."""
        row = self._store.row(sql.ROOTS, folder)
        return (None, 0.0) if row is None else (row["roots"], row["roots_since"])

    def root_identities(self, folder: str) -> dict[bytes, str | None]:
        """Return the identity of each root at the last look, by path.

        None means that any root is accepted; a root that is missing was never seen.
        """
        return {row["path"]: row["seen"] for row in self._store.rows(sql.ROOT_IDENTITIES, folder)}

    def _pages(self, state: State, query: str = sql.IN_STATE) -> Iterator[LedgerRow]:
        """Iterate over all rows in a state by pages of ids: no cursor stays open in between."""
        last = 0
        while page := self._store.rows(query, state, last, _PAGE):
            last = page[-1]["id"]
            yield from page


def _owner_of(row: LedgerRow) -> Owner:
    return Owner(row["folder_name"], row["relative"], bool(row["let_go"]))
