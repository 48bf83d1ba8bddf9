"""Ledger: the job queue and the record of every input, in SQLite.

A job is one input with its state; a row of the ledger is one job. Scheduling decides which waiting
job is claimed next. An orphan is an attempt that was cut short by the death of the daemon. A claim
is an output's name with the input that it was given to; names are compared by their caseless key
too. Copies are backups of the ledger, and `store` translates the errors of SQLite.
"""
