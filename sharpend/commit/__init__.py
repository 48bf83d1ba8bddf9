"""Publication of a staged file as the output, and disposal of its source.

A destination is the set of roots and rules for one folder's outputs. A commit chooses a name,
renames the staged file to it, makes that durable and records it in the ledger. Ownership decides
whether an existing file is an output of this input, of another input, or a foreign file.
Disposal keeps, archives or deletes the source. The quarantine takes inputs that failed for good,
each with a reason file. Retention deletes files and ledger rows that exceed the age or the size
that the settings allow. Adoption records existing outputs in a ledger that was rebuilt. Whether an
error of the disk (full, read-only, gone) concerns the folder is decided in `files.disk_errors`.
"""
