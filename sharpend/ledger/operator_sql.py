"""SQL statements for the tables other than jobs: survey and seen (`only_new`), hold (pauses).

Owns the wording of SQL and nothing else, as `sql` does.
"""

from __future__ import annotations

from sharpend.ledger.sql import PLACES

BEGIN_SURVEY = """
INSERT INTO survey (folder, since) SELECT id, :now_s FROM folder WHERE name = :folder
ON CONFLICT (folder) DO NOTHING
"""
SURVEY = """
SELECT since, complete FROM survey WHERE folder = (SELECT id FROM folder WHERE name = ?)
"""
END_SURVEY = """
UPDATE survey SET complete = 1 WHERE folder = (SELECT id FROM folder WHERE name = ?)
"""
FORGET_SURVEY = "DELETE FROM survey WHERE folder = (SELECT id FROM folder WHERE name = ?)"
SEE = """
INSERT OR REPLACE INTO seen (folder, relative, mark)
SELECT id, ?2, ?3 FROM folder WHERE name = ?1
"""
SEEN = (
    "SELECT relative, mark FROM seen WHERE folder = (SELECT id FROM folder WHERE name = ?)"  # noqa: S608 - as above
    f" AND relative IN ({PLACES})"
)
SEEN_OF = """
SELECT count(*) AS files FROM seen WHERE folder = (SELECT id FROM folder WHERE name = ?)
"""
FORGET_SEEN = "DELETE FROM seen WHERE folder = (SELECT id FROM folder WHERE name = ?)"
PAUSE = "INSERT INTO hold (folder, since) VALUES (?, ?) ON CONFLICT (folder) DO NOTHING"
RESUME = "DELETE FROM hold WHERE ?1 = '' OR folder = ?1"
PAUSES = "SELECT folder, since FROM hold"
