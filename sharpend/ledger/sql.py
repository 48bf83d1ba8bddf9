"""SQL statements of the ledger, one constant each; rows and columns are in `store`.

Owns the wording of SQL and nothing else. Every value is a parameter; the only text put together
here is a row of question marks.
"""

from __future__ import annotations

OLDEST_PENDING = """
SELECT min(added_at) AS at FROM job
WHERE state = 'pending' AND folder = (SELECT id FROM folder WHERE name = ?)
"""
KEYS_PER_QUERY = 500
PLACES = ", ".join("?" * KEYS_PER_QUERY)
_HOLDS = "NOT (let_go AND state = 'disposed')"
KNOWN_KEYS = (
    "SELECT relative, mark FROM job WHERE folder = (SELECT id FROM folder WHERE name = ?)"  # noqa: S608 - only question marks are put in
    f" AND state <> 'vanished' AND {_HOLDS} AND relative IN ({PLACES})"
)
# A folder that is new to the ledger is compared with others that have its output.
ALIKE = (
    "SELECT id, relative, mark, digest, folder_name = ?1 AS own FROM known"  # noqa: S608 - as above
    " WHERE folder IN (SELECT id FROM folder WHERE name = ?1 OR (NOT adopts"
    " AND (SELECT adopts FROM folder WHERE name = ?1)"
    " AND output = (SELECT output FROM folder WHERE name = ?1)))"
    f" AND {_HOLDS} AND (state IN ('done', 'disposed') OR (state = 'quarantined' AND own))"
    f" AND relative IN ({PLACES}) ORDER BY own DESC, id DESC"
)
OUTCOME = """
SELECT * FROM known WHERE folder_name = ? AND relative = ?
ORDER BY state = 'vanished', id DESC LIMIT 1
"""
OWNER = """
SELECT folder_name, relative, let_go FROM known WHERE output_mark = ? AND NOT unchanged
AND folder_output = (SELECT output FROM folder WHERE name = ?)
ORDER BY finished_at DESC LIMIT 1
"""
PREVIOUS = """
SELECT output FROM known WHERE folder_name = ? AND relative = ?
AND output_mark IS NOT NULL AND NOT unchanged AND NOT let_go ORDER BY finished_at DESC LIMIT 1
"""
TWINS = """
SELECT folder_name, relative, let_go, output, output_mark FROM known
WHERE output_key = ?1 AND NOT unchanged
AND folder_output = (SELECT output FROM folder WHERE name = ?2)
UNION
SELECT folder_name, relative, let_go, staged_output, staged_mark FROM known
WHERE staged_key = ?1 AND NOT unchanged
AND folder_output = (SELECT output FROM folder WHERE name = ?2)
"""
LET_GO_BELOW = """
SELECT max(finished_at) FROM known WHERE folder_name = ? AND let_go AND relative BETWEEN ? AND ?
"""
IN_STATE = "SELECT * FROM known WHERE state = ? AND id > ? ORDER BY id LIMIT ?"
PRODUCTS = """
SELECT known.*, model.text AS model_digest, options.text AS options_digest FROM known
LEFT JOIN digest AS model ON model.id = known.model
LEFT JOIN digest AS options ON options.id = known.options
WHERE state = ? AND known.id > ? ORDER BY known.id LIMIT ?
"""
BY_ID = "SELECT * FROM known WHERE id = ?"
FOLDER = "SELECT id, name FROM folder WHERE input = ? AND output = ?"
FOLDERS = "SELECT id, name, input, output FROM folder ORDER BY id"
NEW_FOLDER = "INSERT INTO folder (name, input, output, adopts) VALUES (?, ?, ?, 1)"
ADOPTS = "SELECT adopts FROM folder WHERE name = ?"
ADOPTS_NO_MORE = "UPDATE folder SET adopts = 0 WHERE name = ?"
INSTALLATION = "SELECT id FROM installation"
EARLIER_OUTPUT = """
SELECT name, output, (SELECT count(*) FROM job WHERE job.folder = folder.id
    AND state IN ('done', 'disposed') AND NOT let_go) AS jobs
FROM folder WHERE input = (SELECT input FROM folder WHERE name = ?1) AND name <> ?1 AND jobs > 0
ORDER BY id DESC LIMIT 1
"""
FORGET_MOVED_ROOTS = """
DELETE FROM root WHERE folder = (SELECT id FROM folder WHERE name = :folder)
AND path NOT IN (:input, :output) AND path IN (
    SELECT input FROM folder WHERE name = :folder
    UNION SELECT output FROM folder WHERE name = :folder
)
"""
MOVE_ROOTS = """
UPDATE folder SET input = :input, output = :output, roots = NULL, roots_since = 0
WHERE name = :folder
"""
# The folder that has the new roots gets the jobs; of its waiting ones, those that are done go.
FORGET_REPEATED = """
DELETE FROM job WHERE folder = :into AND state IN ('pending', 'running', 'deferred')
AND output IS NULL AND relative IN (
    SELECT relative FROM job WHERE folder = (SELECT id FROM folder WHERE name = :folder)
    AND state IN ('done', 'disposed')
)
"""
MOVE_JOBS = """
UPDATE OR IGNORE job SET folder = :into
WHERE folder = (SELECT id FROM folder WHERE name = :folder)
"""
FORGET_JOBS = "DELETE FROM job WHERE folder = (SELECT id FROM folder WHERE name = :folder)"
FORGET_ROOTS = "DELETE FROM root WHERE folder = (SELECT id FROM folder WHERE name = :folder)"
FORGET_FOLDER = "DELETE FROM folder WHERE name = :folder"
INPUT_SAMPLE = """
SELECT relative FROM job WHERE folder = (SELECT id FROM folder WHERE name = ?)
AND state <> 'vanished' AND NOT let_go AND moved IS NULL ORDER BY id DESC LIMIT ?
"""
OUTPUT_SAMPLE = """
SELECT output FROM job WHERE folder = (SELECT id FROM folder WHERE name = ?)
AND output IS NOT NULL ORDER BY id DESC LIMIT ?
"""
ROOTS = "SELECT roots, roots_since FROM folder WHERE name = ?"
SAW_ROOTS = """
UPDATE folder SET roots = :roots, roots_since = :now_s WHERE name = :folder AND roots IS NOT :roots
"""
# A path without a row was never seen; one without an identity is accepted as it is.
ROOT_IDENTITIES = """
SELECT path, seen FROM root WHERE folder = (SELECT id FROM folder WHERE name = ?)
"""
RECORD_ROOT = """
INSERT INTO root (folder, path, seen) SELECT id, :path, :seen FROM folder WHERE name = :folder
ON CONFLICT (folder, path) DO UPDATE SET seen = excluded.seen
"""
ACCEPT_ROOTS = """
INSERT INTO root (folder, path, seen)
SELECT id, input, NULL FROM folder WHERE name = ?1
UNION SELECT id, output, NULL FROM folder WHERE name = ?1
UNION SELECT folder, path, NULL FROM root
WHERE folder = (SELECT id FROM folder WHERE name = ?1)
ON CONFLICT (folder, path) DO UPDATE SET seen = NULL
"""
FOLDER_ID = "SELECT id FROM folder WHERE name = ?"
HAS_OPERATOR_STATE = "SELECT 1 FROM sqlite_master WHERE name = 'seen'"
_OTHER_CONTENT = "folder = ?1 AND relative = ?2 AND mark <> ?3"
_REFUSED_IN_PLACE = "(+state = 'quarantined' AND moved IS NULL)"
SUPERSEDED_NOTES = f"""
SELECT note FROM job WHERE {_OTHER_CONTENT} AND {_REFUSED_IN_PLACE} AND note IS NOT NULL
"""  # noqa: S608 - constants of this module are put in
SUPERSEDE = f"""
UPDATE job SET state = 'vanished', next_at = NULL, note = NULL
WHERE {_OTHER_CONTENT} AND (+state IN ('pending', 'deferred') OR {_REFUSED_IN_PLACE})
"""  # noqa: S608
# A row with an output stays: it says whose that output is.
FORGET_SUPERSEDED = f"""
DELETE FROM job WHERE {_OTHER_CONTENT} AND +state = 'vanished' AND output IS NULL
"""  # noqa: S608
ADD = """
INSERT INTO job (folder, relative, mark, state, added_at) VALUES (?1, ?2, ?3, 'pending', ?4)
ON CONFLICT (folder, relative, mark) DO UPDATE
SET state = 'pending', attempts = 0, orphans = 0, added_at = excluded.added_at, let_go = 0
WHERE state = 'vanished' OR (let_go AND state = 'disposed')
"""
FORGET_VANISHED = """
DELETE FROM job WHERE folder = (SELECT id FROM folder WHERE name = :folder)
AND relative = :relative AND mark = :mark AND state = 'vanished'
"""
ADOPT = """
INSERT INTO job
    (folder, relative, mark, digest, state, added_at, finished_at, output, output_mark, output_key)
SELECT id, :relative, :mark, :digest, 'disposed', :now_s, :now_s, :output, :output_mark, :output_key
FROM folder WHERE name = :folder
ON CONFLICT (folder, relative, mark) DO NOTHING
"""
RENUMBER = """
UPDATE OR IGNORE job SET mark = :mark, digest = coalesce(:digest, digest) WHERE id = :id
"""
# Without `pixels`: nothing was sharpened now, and the throughput is computed from them.
COPY = """
INSERT INTO job (folder, relative, mark, digest, state, added_at, finished_at,
    output, output_mark, output_key, unchanged, model, options)
SELECT folder.id, :relative, :mark, coalesce(:digest, digest), 'disposed', :now_s, :now_s,
    job.output, output_mark, output_key, unchanged, model, options
FROM job JOIN folder ON folder.name = :folder WHERE job.id = :id
ON CONFLICT (folder, relative, mark) DO NOTHING
"""
FINISHED = """
SELECT added_at, finished_at, pixels FROM job
WHERE state IN ('done', 'disposed') AND pixels > 0 AND finished_at IS NOT NULL
ORDER BY id DESC LIMIT ?
"""
STATE_OF = "SELECT state FROM job WHERE id = ?"
RUNNING = """
SELECT count(*) AS jobs, coalesce(max(orphans), 0) AS orphans FROM job WHERE state = 'running'
"""
WAITING_FOLDERS = """
SELECT name,
    EXISTS (SELECT 1 FROM job WHERE job.folder = folder.id AND state = 'deferred') AS has_retries
FROM folder WHERE EXISTS (SELECT 1 FROM job WHERE state IN ('pending', 'deferred'))
AND (has_retries OR EXISTS (SELECT 1 FROM job WHERE job.folder = folder.id AND state = 'pending'))
"""
# An older generation of a path is finished first: never an old result over a new one.
_NEXT = """
SELECT * FROM known WHERE folder_name = ?1 AND (orphans >= ?2) = ?3 AND NOT EXISTS (
    SELECT 1 FROM job AS other WHERE other.folder = known.folder
    AND other.relative = known.relative AND +other.state IN ('running', 'staged', 'done')
)
"""
NEXT_OLDEST = f"{_NEXT} AND state = 'pending' ORDER BY added_at, id LIMIT 1"
NEXT_NEWEST = f"{_NEXT} AND state = 'pending' ORDER BY added_at DESC, id DESC LIMIT 1"
# Two statements: one with OR reads and sorts every retry that is not due.
NEXT_RETRY = f"{_NEXT} AND state = 'deferred' AND next_at <= ?4 ORDER BY next_at LIMIT 1"
NEXT_BEYOND = f"{_NEXT} AND state = 'deferred' AND next_at > ?4 ORDER BY next_at LIMIT 1"
CLAIM = "UPDATE job SET state = 'running', attempts = attempts + 1, next_at = NULL WHERE id = :id"
RELEASE = """
UPDATE job SET state = 'pending', attempts = max(attempts - 1, 0),
temp = NULL, staged_output = NULL, staged_mark = NULL, staged_key = NULL WHERE id = :id
"""
KNOW_DIGESTS = "INSERT OR IGNORE INTO digest (text) VALUES (:model), (:options)"
STAGE = """
UPDATE job SET state = 'staged', temp = :temp, staged_output = :output, staged_mark = :mark,
staged_key = :key, unchanged = :unchanged, pixels = :pixels, stays_for = :stays_for,
model = (SELECT id FROM digest WHERE text = :model),
options = (SELECT id FROM digest WHERE text = :options),
digest = coalesce(:digest, digest) WHERE id = :id
"""
RESTAGE = """
UPDATE job SET staged_output = :output, staged_mark = :mark, staged_key = :key,
unchanged = :unchanged WHERE id = :id AND state = 'staged'
"""
FINISH = """
UPDATE job SET state = 'done', output = staged_output, output_mark = staged_mark,
output_key = staged_key, temp = NULL, staged_output = NULL, staged_mark = NULL, staged_key = NULL,
finished_at = :now_s, reason = NULL, message = NULL, setting = NULL WHERE id = :id
"""
FORGET_OLDER = """
DELETE FROM job WHERE id <> :id AND (folder, relative) = (
    SELECT folder, relative FROM job WHERE id = :id
) AND (state IN ('done', 'disposed', 'vanished') OR (state = 'quarantined' AND moved IS NULL))
AND NOT let_go
RETURNING note
"""
BEGIN_DISPOSAL = "UPDATE job SET let_go = 1 WHERE id = :id AND state = 'done'"
DISPOSE = "UPDATE job SET state = 'disposed', let_go = let_go AND NOT :keeps_source WHERE id = :id"
DEFER = """
UPDATE job SET state = 'deferred', next_at = :next_at, reason = :reason, message = :message,
temp = NULL, staged_output = NULL, staged_mark = NULL, staged_key = NULL WHERE id = :id
"""
QUARANTINE = """
UPDATE job SET state = 'quarantined', finished_at = :now_s, reason = :reason, message = :message,
setting = :setting, digest = coalesce(:digest, digest), note = NULL, moved = NULL, next_at = NULL,
temp = NULL, staged_output = NULL, staged_mark = NULL, staged_key = NULL WHERE id = :id
"""
FORGET_EARLIER_REFUSAL = """
DELETE FROM job WHERE id < :id AND +state = 'quarantined' AND moved IS NULL AND output IS NULL
AND (folder, relative) = (SELECT folder, relative FROM job WHERE id = :id)
"""
NOTED = """
UPDATE job SET note = :note, moved = :moved, next_at = :leaves_at
WHERE id = :id AND state = 'quarantined'
"""
LEAVING = """
SELECT * FROM known WHERE folder_name = ? AND state = 'quarantined' AND next_at <= ?
AND note IS NOT NULL ORDER BY next_at LIMIT ?
"""
POSTPONE_LEAVING = """
UPDATE job SET next_at = :leaves_at WHERE state = 'quarantined' AND next_at IS NOT NULL
"""
VANISH = "UPDATE job SET state = 'vanished', next_at = NULL WHERE id = :id"
RECOVER = """
UPDATE job SET state = 'pending', attempts = max(attempts - 1, 0), orphans = orphans + 1
WHERE state = 'running'
"""
LOSE = RECOVER.replace("state = 'running'", "id = :id")
# Few jobs are orphans: their own index is read, not that of the state.
GIVEN_UP = """
SELECT * FROM known WHERE +state = 'pending' AND orphans > 0 AND orphans > ? ORDER BY id
"""
RETRY = """
UPDATE OR IGNORE job SET state = 'pending', mark = :mark, attempts = 0, orphans = 0,
reason = NULL, message = NULL, setting = NULL, note = NULL, moved = NULL, next_at = NULL
WHERE id = :id
"""
FORGET_QUARANTINED = "DELETE FROM job WHERE id = :id AND state = 'quarantined'"
# A job that was done before keeps its row with its output, and is repeated.
FORGET_WAITING = """
DELETE FROM job WHERE state IN ('pending', 'running', 'deferred') AND output IS NULL
"""
FORGET = "DELETE FROM job WHERE id = ? AND state IN ('disposed', 'vanished', 'quarantined')"
RETRY_FINISHED = """
UPDATE job SET state = 'pending', attempts = 0, orphans = 0 WHERE state = 'disposed' AND NOT let_go
AND (:folder IS NULL OR folder = (SELECT id FROM folder WHERE name = :folder))
AND (:relative IS NULL OR relative = :relative)
"""
HASTEN = """
UPDATE job SET next_at = :now_s WHERE state = 'deferred'
AND folder = (SELECT id FROM folder WHERE name = :folder)
"""
RETRY_OUTDATED = """
UPDATE job SET state = 'pending', attempts = 0, orphans = 0 WHERE state = 'disposed' AND NOT let_go
AND folder = (SELECT id FROM folder WHERE name = :folder) AND NOT unchanged
AND (model IS NOT (SELECT id FROM digest WHERE text = :model)
    OR options IS NOT (SELECT id FROM digest WHERE text = :options))
"""
