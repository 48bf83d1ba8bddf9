"""Intake: from folders to settled files.

A scan walks a folder and decides what is there; events of the file system (`watch`) only say which
path or folder to check sooner. A file is settled when two checks some time apart find the same
fingerprint, so that no file is read that is still being written. A folder on a file system
that may hang is scanned in a thread of its own (`threaded`).
"""
