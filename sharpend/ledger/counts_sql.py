"""SQL statements for the tables of numbers that triggers keep: `tally` and `refusals`.

Owns the wording of SQL and nothing else, as `sql` does.
"""

from __future__ import annotations

COUNTS = "SELECT state, sum(jobs) AS jobs FROM tally GROUP BY state"
WAITING = """
SELECT coalesce(sum(jobs), 0) AS jobs FROM tally
WHERE folder = (SELECT id FROM folder WHERE name = ?)
AND state IN ('pending', 'running', 'staged', 'deferred')
"""
BY_STATE = "SELECT folder, state, jobs FROM tally"
REFUSALS = "SELECT folder, reason, jobs FROM refusals WHERE jobs > 0"
HAS_TABLE = "SELECT 1 FROM sqlite_master WHERE name = ?"
COUNTED = {
    "tally": "SELECT folder, state, count(*) AS jobs FROM job GROUP BY folder, state",
    "refusals": "SELECT folder, ifnull(reason, '') AS reason, count(*) AS jobs FROM job"
    " WHERE state = 'quarantined' GROUP BY 1, 2",
}
"""Count of rows for each table of numbers that triggers keep."""
RECOUNT = tuple(
    statement
    for table, counted in COUNTED.items()
    for statement in (f"DELETE FROM {table}", f"INSERT INTO {table} {counted}")  # noqa: S608 - names above
)
