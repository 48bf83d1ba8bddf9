"""Publishing a staged file as the output, and what follows for its source.

A destination is where a folder's outputs go. To commit is to choose a name, rename the staged file
to it, make that durable and record it in the ledger. Ownership is whose file stands at a name.
Disposal keeps, archives or deletes the source. The quarantine takes inputs that failed for good,
each with a reason file. Retention deletes what exceeds the age or the size that the settings allow.
Adoption enters outputs that exist already into a ledger that was rebuilt.
"""
