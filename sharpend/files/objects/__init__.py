"""Objects of an S3 store: addresses, the client, buckets, uploads that are staged files.

Knows no folder's rules: `intake` lists, `commit.remote` reads, stages, publishes and disposes.
"""
