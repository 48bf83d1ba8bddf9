"""Web: metrics for Prometheus, read from the status file and the ledger of a state directory.

A *metric* is a number with a name, a type and labels; an *exposition* is the text that Prometheus
reads. Needs the extra `web`. Nothing here can write into the state directory.
"""
