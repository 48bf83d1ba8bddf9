"""Intake: from folders to settled files.

A scan walks a folder and is the truth; events of the file system (`watch`) are hints that a path
or a folder has to be looked at. A file is settled when two looks some time apart find it the same,
so that no file is read that is still being written. A folder on a file system that may hang is
scanned in a thread of its own (`threaded`).
"""
