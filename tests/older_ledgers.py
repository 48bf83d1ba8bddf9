"""Ledgers as older versions of sharpend wrote them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sharpend.ledger.case_folding import name_key, twin_key
from sharpend.ledger.records import binary
from sharpend.ledger.schema import STEPS

if TYPE_CHECKING:
    from pathlib import Path

LAST_WIDE = 10
"""The last schema with digests as text and whole names as keys."""


def older_ledger(state_dir: Path, version: int) -> sqlite3.Connection:
    """Make a ledger of a version, with one folder, `in`; the caller adds jobs and closes it."""
    state_dir.mkdir(parents=True, exist_ok=True)
    connection = _empty(state_dir / "ledger.db", version)
    connection.execute("INSERT INTO folder (name, input, output) VALUES ('in', '/in', '/out')")
    connection.execute("UPDATE folder SET input = x'2f696e', output = x'2f6f7574'")
    connection.commit()
    return connection


def take_back(state_dir: Path, version: int) -> None:
    """Replace the ledger by one of an older version with the same folders and jobs.

    Args:
        state_dir: of a stopped daemon.
        version: at most `LAST_WIDE`.
    """
    path, older = state_dir / "ledger.db", state_dir / "older.db"
    with closing(_empty(older, version)) as connection:
        connection.execute("ATTACH ? AS now", (str(path),))
        for table in ("folder", "job"):
            columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
            new = {row[1] for row in connection.execute(f"PRAGMA now.table_info({table})")}
            taken = {name: _WIDE.get(name, name) for name in columns if name in new}
            connection.execute(
                f"INSERT INTO main.{table} ({', '.join(taken)}) "  # noqa: S608 - names of columns
                f"SELECT {', '.join(taken.values())} FROM now.{table}"
            )
        connection.commit()
    for journal in ("-wal", "-shm"):
        path.with_name(path.name + journal).unlink(missing_ok=True)
    older.replace(path)


_WIDE = {
    "model": "(SELECT text FROM now.digest WHERE id = model)",
    "options": "(SELECT text FROM now.digest WHERE id = options)",
    "digest": "lower(hex(digest))",
    "staged_key": "iif(staged_output IS NULL, NULL, twin_key(staged_output))",
    "output_key": "iif(output IS NULL, NULL, twin_key(output))",
}
"""What an older column held, from the columns of now."""


def _empty(path: Path, version: int) -> sqlite3.Connection:
    """Make a ledger of a version without rows."""
    connection = sqlite3.connect(path)
    for function in (twin_key, name_key, binary):
        connection.create_function(function.__name__, 1, function)
    connection.executescript("".join(STEPS[:version]))
    connection.execute(f"PRAGMA user_version = {version}")
    return connection


def add_wide(connection: sqlite3.Connection, jobs: int) -> None:
    """Add jobs in every state to a ledger of `LAST_WIDE`; the last of them is gone again."""
    rows = [_wide(number) for number in range(1, jobs + 2)]
    columns = ", ".join(rows[0])
    values = ", ".join(f":{name}" for name in rows[0])
    statement = f"INSERT INTO job ({columns}) VALUES ({values})"  # noqa: S608 - names of columns
    connection.executemany(statement, rows)
    connection.execute("DELETE FROM job WHERE id = ?", (jobs + 1,))
    connection.commit()


STATES = (
    "pending",
    "staged",
    "disposed",
    "quarantined",
    "deferred",
    "vanished",
    "done",
    "disposed",
)


def _wide(number: int) -> dict[str, object]:
    """A job as schema 10 holds it."""
    state, name = STATES[number % len(STATES)], b"D/%d.png" % number
    row = {
        "folder": 1,
        "relative": name,
        "mark": f"{number}:20:30",
        "state": state,
        "added_at": 5.0,
    }
    row |= dict.fromkeys(("temp", "staged_output", "staged_mark", "staged_key"))
    row |= dict.fromkeys(("output", "output_mark", "output_key", "model", "options", "digest"))
    if state == "staged":
        row |= {"temp": b"t", "staged_output": name, "staged_mark": f"{number}:1:1"}
        row |= {"staged_key": twin_key(name)}
    if state in {"done", "disposed"}:
        row |= {"output": name, "output_mark": f"{number}:1:1", "output_key": twin_key(name)}
    if state in {"staged", "done", "disposed"}:
        row |= {"model": "m" * 64, "options": f"{number % 3:064x}", "digest": f"{number:064x}"}
    return row
