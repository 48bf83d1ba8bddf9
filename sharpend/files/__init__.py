"""POSIX files: identity, symlink-safe opening, atomic writing, permissions.

A fingerprint (size, modification time, inode) identifies the content of a path. Atomic writing
goes through a temporary sibling, fsync and rename, so that a reader finds the old file or the new
one. Descent below a root (`beneath`) follows no symbolic link. A fault is of the root, of a name,
or of one file. Access is the group and the mode that the folder's settings give to new files. Names
are bytes.
"""
