"""Ledger schema: tables and migrations, one per version.

Owns the wording of every table, index and view. A step that was released is never changed: a
ledger of any age takes those that it lacks, in their order.
"""

from __future__ import annotations

_TABLES = """
CREATE TABLE folder (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    input BLOB NOT NULL,
    output BLOB NOT NULL,
    UNIQUE (input, output)
);
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    folder INTEGER NOT NULL REFERENCES folder (id),
    relative BLOB NOT NULL,
    mark TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    orphans INTEGER NOT NULL DEFAULT 0,
    added_at REAL NOT NULL,
    next_at REAL,
    temp BLOB,
    staged_output BLOB,
    staged_mark TEXT,
    output BLOB,
    output_mark TEXT,
    unchanged INTEGER NOT NULL DEFAULT 0,
    model TEXT,
    options TEXT,
    pixels INTEGER,
    finished_at REAL,
    reason TEXT,
    message TEXT,
    setting TEXT,
    note BLOB,
    moved BLOB,
    UNIQUE (folder, relative, mark)
);
CREATE INDEX job_by_state ON job (folder, state, id);
CREATE INDEX job_by_time ON job (folder, next_at) WHERE state = 'deferred';
CREATE INDEX job_in_state ON job (state, id);
CREATE INDEX job_by_output ON job (output_mark) WHERE output_mark IS NOT NULL;
CREATE VIEW known AS
    SELECT job.*, folder.name AS folder_name, folder.output AS folder_output
    FROM job JOIN folder ON folder.id = job.folder;
"""
_TWINS = """
ALTER TABLE job ADD COLUMN staged_key BLOB;
ALTER TABLE job ADD COLUMN output_key BLOB;
UPDATE job SET staged_key = twin_key(staged_output) WHERE staged_output IS NOT NULL;
UPDATE job SET output_key = twin_key(output) WHERE output IS NOT NULL;
CREATE INDEX job_by_staged_key ON job (staged_key) WHERE staged_key IS NOT NULL;
CREATE INDEX job_by_output_key ON job (output_key) WHERE output_key IS NOT NULL;
"""
_DISPOSAL = "ALTER TABLE job ADD COLUMN let_go INTEGER NOT NULL DEFAULT 0;"
_BY_AGE = """
DROP INDEX job_by_state;
CREATE INDEX job_by_age ON job (folder, state, added_at);
"""
_ROOTS = """
ALTER TABLE folder ADD COLUMN roots TEXT;
ALTER TABLE folder ADD COLUMN roots_since REAL NOT NULL DEFAULT 0;
"""
_IDENTITIES = """
CREATE TABLE root (
    folder INTEGER NOT NULL REFERENCES folder (id),
    path BLOB NOT NULL,
    seen TEXT,
    PRIMARY KEY (folder, path)
);
INSERT INTO root (folder, path) SELECT id, input FROM folder UNION SELECT id, output FROM folder;
"""
_LEAVING = """
CREATE INDEX job_leaving ON job (folder, next_at) WHERE state = 'quarantined';
"""
_LOSSES = "ALTER TABLE job ADD COLUMN stays_for TEXT;"
_STANDING = """
CREATE TABLE seen (
    folder INTEGER NOT NULL REFERENCES folder (id),
    relative BLOB NOT NULL,
    mark TEXT NOT NULL,
    PRIMARY KEY (folder, relative)
) WITHOUT ROWID;
CREATE TABLE survey (
    folder INTEGER PRIMARY KEY REFERENCES folder (id),
    since REAL NOT NULL,
    complete INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE hold (folder TEXT PRIMARY KEY, since REAL NOT NULL) WITHOUT ROWID;
"""
_CONTENT = """
ALTER TABLE job ADD COLUMN digest TEXT;
ALTER TABLE folder ADD COLUMN adopts INTEGER NOT NULL DEFAULT 0;
CREATE TABLE installation (id TEXT NOT NULL);
INSERT INTO installation VALUES (lower(hex(randomblob(8))));
"""
# The table is made anew: digests by number, short keys of names, SHA-256 as bytes. The number of a
# job is never given twice (`sqlite_sequence`): temporary files are named after it.
_SLIM = """
CREATE TABLE digest (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
INSERT INTO digest (text)
    SELECT model FROM job WHERE model <> '' UNION SELECT options FROM job WHERE options <> '';
DROP VIEW known;
ALTER TABLE job RENAME TO job_before;
CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    folder INTEGER NOT NULL REFERENCES folder (id),
    relative BLOB NOT NULL,
    mark TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    orphans INTEGER NOT NULL DEFAULT 0,
    added_at REAL NOT NULL,
    next_at REAL,
    temp BLOB,
    staged_output BLOB,
    staged_mark TEXT,
    staged_key BLOB,
    output BLOB,
    output_mark TEXT,
    output_key BLOB,
    unchanged INTEGER NOT NULL DEFAULT 0,
    let_go INTEGER NOT NULL DEFAULT 0,
    model INTEGER REFERENCES digest (id),
    options INTEGER REFERENCES digest (id),
    pixels INTEGER,
    digest BLOB,
    stays_for TEXT,
    finished_at REAL,
    reason TEXT,
    message TEXT,
    setting TEXT,
    note BLOB,
    moved BLOB,
    UNIQUE (folder, relative, mark)
);
INSERT INTO job
SELECT id, folder, relative, mark, state, attempts, orphans, added_at, next_at, temp,
    staged_output, staged_mark, iif(staged_output IS NULL, NULL, name_key(staged_output)),
    output, output_mark, iif(output IS NULL, NULL, name_key(output)), unchanged, let_go,
    (SELECT id FROM digest WHERE text = model), (SELECT id FROM digest WHERE text = options),
    pixels, binary(job_before.digest), stays_for, finished_at, reason, message, setting, note, moved
FROM job_before ORDER BY id;
DELETE FROM sqlite_sequence WHERE name = 'job';
UPDATE sqlite_sequence SET name = 'job' WHERE name = 'job_before';
DROP TABLE job_before;
CREATE INDEX job_by_age ON job (folder, state, added_at);
CREATE INDEX job_by_time ON job (folder, next_at) WHERE state = 'deferred';
CREATE INDEX job_in_state ON job (state, id);
CREATE INDEX job_leaving ON job (folder, next_at) WHERE state = 'quarantined';
CREATE INDEX job_by_output ON job (output_mark) WHERE output_mark IS NOT NULL;
CREATE INDEX job_by_staged_key ON job (staged_key) WHERE staged_key IS NOT NULL;
CREATE INDEX job_by_output_key ON job (output_key) WHERE output_key IS NOT NULL;
CREATE INDEX job_orphaned ON job (id) WHERE orphans > 0;
CREATE VIEW known AS
    SELECT job.*, folder.name AS folder_name, folder.output AS folder_output
    FROM job JOIN folder ON folder.id = job.folder;
"""
# Numbers of jobs by folder and state, kept with each change of a row: counting takes seconds where
# there are millions. No ON CONFLICT in the triggers:
# SQLite would apply that of the outer statement.
_TALLY = """
CREATE TABLE tally (
    folder INTEGER NOT NULL,
    state TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (folder, state)
) WITHOUT ROWID;
INSERT INTO tally SELECT folder, state, count(*) FROM job GROUP BY folder, state;
CREATE TRIGGER job_added AFTER INSERT ON job BEGIN
    INSERT INTO tally SELECT new.folder, new.state, 0
        WHERE NOT EXISTS (SELECT 1 FROM tally WHERE folder = new.folder AND state = new.state);
    UPDATE tally SET jobs = jobs + 1 WHERE folder = new.folder AND state = new.state;
END;
CREATE TRIGGER job_removed AFTER DELETE ON job BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE folder = old.folder AND state = old.state;
END;
CREATE TRIGGER job_moved AFTER UPDATE OF folder, state ON job
WHEN old.state <> new.state OR old.folder <> new.folder BEGIN
    UPDATE tally SET jobs = jobs - 1 WHERE folder = old.folder AND state = old.state;
    INSERT INTO tally SELECT new.folder, new.state, 0
        WHERE NOT EXISTS (SELECT 1 FROM tally WHERE folder = new.folder AND state = new.state);
    UPDATE tally SET jobs = jobs + 1 WHERE folder = new.folder AND state = new.state;
END;
"""
_BY_END = """
CREATE INDEX job_by_end ON job (state, finished_at) WHERE finished_at IS NOT NULL;
"""
# The same for refusals by reason, which metrics ask for every few seconds.
_REFUSED = """
    INSERT INTO refusals SELECT new.folder, ifnull(new.reason, ''), 0 WHERE NOT EXISTS (
        SELECT 1 FROM refusals WHERE folder = new.folder AND reason = ifnull(new.reason, ''));
    UPDATE refusals SET jobs = jobs + 1
        WHERE folder = new.folder AND reason = ifnull(new.reason, '');
"""
_REFUSED_NO_MORE = """
    UPDATE refusals SET jobs = jobs - 1
        WHERE folder = old.folder AND reason = ifnull(old.reason, '');
"""
_REFUSALS = f"""
CREATE TABLE refusals (
    folder INTEGER NOT NULL,
    reason TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    PRIMARY KEY (folder, reason)
) WITHOUT ROWID;
INSERT INTO refusals
    SELECT folder, ifnull(reason, ''), count(*) FROM job WHERE state = 'quarantined' GROUP BY 1, 2;
CREATE TRIGGER refusal_added AFTER INSERT ON job
WHEN new.state = 'quarantined' BEGIN {_REFUSED} END;
CREATE TRIGGER refusal_removed AFTER DELETE ON job
WHEN old.state = 'quarantined' BEGIN {_REFUSED_NO_MORE} END;
CREATE TRIGGER refusal_begun AFTER UPDATE OF folder, state, reason ON job
WHEN new.state = 'quarantined' BEGIN {_REFUSED} END;
CREATE TRIGGER refusal_ended AFTER UPDATE OF folder, state, reason ON job
WHEN old.state = 'quarantined' BEGIN {_REFUSED_NO_MORE} END;
"""  # noqa: S608 - pieces of this module
STEPS = (
    _TABLES,
    _TWINS,
    _DISPOSAL,
    _BY_AGE,
    _ROOTS,
    _IDENTITIES,
    _LEAVING,
    _LOSSES,
    _STANDING,
    _CONTENT,
    _SLIM,
    _TALLY,
    _BY_END,
    _REFUSALS,
)
"""Migrations from an empty file to the newest schema; an older ledger takes those that it lacks."""


SCHEMA_VERSION = len(STEPS)
