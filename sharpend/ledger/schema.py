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
_BY_END = """
CREATE INDEX job_by_end ON job (state, finished_at) WHERE finished_at IS NOT NULL;
"""
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
    _BY_END,
)
"""Migrations from an empty file to the newest schema; an older ledger takes those that it lacks."""


SCHEMA_VERSION = len(STEPS)
