"""SQL statements of pages of the ledger, for people who look at it.

Owns the wording of SQL and nothing else, as `sql` does. A page begins after a time and an id, so
that it costs the same wherever it lies, by the index `job_by_end`.
"""

from __future__ import annotations

TALLIES = """
SELECT folder.name AS name, kept.state AS state, kept.jobs AS jobs
FROM tally AS kept JOIN folder ON folder.id = kept.folder
"""
_TOLD = """
(SELECT known.*, model.text AS model_digest, options.text AS options_digest FROM known
LEFT JOIN digest AS model ON model.id = known.model
LEFT JOIN digest AS options ON options.id = known.options)
"""
ENTRY = f"SELECT * FROM {_TOLD} WHERE id = ?"  # noqa: S608 - constants of this module are put in
_ENDED = """
SELECT * FROM {told} WHERE state = '{state}' AND finished_at IS NOT NULL
AND (finished_at, id) < (?1, ?2) ORDER BY finished_at DESC, id DESC LIMIT ?3
"""
REFUSED = _ENDED.format(told=_TOLD, state="quarantined")
RESULTS = (
    f"SELECT * FROM ({_ENDED.format(told=_TOLD, state='done')}) UNION ALL"  # noqa: S608 - likewise
    f" SELECT * FROM ({_ENDED.format(told=_TOLD, state='disposed')})"
    " ORDER BY finished_at DESC, id DESC LIMIT ?3"
)
RUNNING = "SELECT * FROM known WHERE state = 'running' ORDER BY id LIMIT ?"
