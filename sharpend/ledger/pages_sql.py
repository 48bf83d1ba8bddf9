"""SQL statements of pages of the ledger, for people who look at it.

Owns the wording of SQL and nothing else, as `sql` does. A page begins after a time and an id, so
that it costs the same wherever it lies, by the index `job_by_end`.
"""

from __future__ import annotations

TALLIES = """
SELECT folder.name AS name, tally.state AS state, tally.jobs AS jobs
FROM (SELECT folder, state, count(*) AS jobs FROM job GROUP BY folder, state) AS tally
JOIN folder ON folder.id = tally.folder
"""
_ENDED = """
SELECT * FROM known WHERE state = '{state}' AND finished_at IS NOT NULL
AND (finished_at, id) < (?1, ?2) ORDER BY finished_at DESC, id DESC LIMIT ?3
"""
REFUSED = _ENDED.format(state="quarantined")
RESULTS = (
    f"SELECT * FROM ({_ENDED.format(state='done')}) UNION ALL"  # noqa: S608 - constants of this module are put in
    f" SELECT * FROM ({_ENDED.format(state='disposed')})"
    " ORDER BY finished_at DESC, id DESC LIMIT ?3"
)
RUNNING = "SELECT * FROM known WHERE state = 'running' ORDER BY id LIMIT ?"
