"""The ledger: the queue and the record of every input, in SQLite."""
