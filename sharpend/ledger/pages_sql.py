"""SQL statements of pages of the ledger, for people who look at it.

Owns the wording of SQL and nothing else, as `sql` does. A page begins after a time and an id, so
that it costs the same at any position, by the index `job_by_end`.
"""

from __future__ import annotations

TALLIES = """
SELECT folder.name AS name, kept.state AS state, kept.jobs AS jobs
FROM tally AS kept JOIN folder ON folder.id = kept.folder
"""
HAS_DIGESTS = "SELECT 1 FROM sqlite_schema WHERE name = 'digest'"
ENTRY = """
SELECT known.*, model.text AS model_digest, options.text AS options_digest FROM known
LEFT JOIN digest AS model ON model.id = known.model
LEFT JOIN digest AS options ON options.id = known.options WHERE known.id = ?
"""
_ENDED = """
SELECT known.*, NULL AS model_digest, NULL AS options_digest FROM known
WHERE state = '{state}' AND finished_at IS NOT NULL AND (finished_at, id) < (?1, ?2)
ORDER BY finished_at DESC, id DESC LIMIT ?3
"""
CHOSEN = """
SELECT known.*, NULL AS model_digest, NULL AS options_digest FROM known
WHERE id IN (SELECT value FROM json_each(?4)) AND state IN ('done', 'disposed')
AND (finished_at, id) < (?1, ?2) ORDER BY finished_at DESC, id DESC LIMIT ?3
"""
REFUSED = _ENDED.format(state="quarantined")
RESULTS = (
    f"SELECT * FROM ({_ENDED.format(state='done')}) UNION ALL"  # noqa: S608 - constants of this module are put in
    f" SELECT * FROM ({_ENDED.format(state='disposed')})"
    " ORDER BY finished_at DESC, id DESC LIMIT ?3"
)
RUNNING = "SELECT * FROM known WHERE state = 'running' ORDER BY id LIMIT ?"
