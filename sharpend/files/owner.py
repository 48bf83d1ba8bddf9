"""Owner of a file or folder, for advice to users who may not look at it."""

from __future__ import annotations

import os
import pwd


def foreign_owner(path: bytes) -> str | None:
    """Return the name, or the number, of the other user whom a path or the folder above it is of.

    The nearest folder above counts whose owner can be seen. None if it is this user's, and for
    root, who needs no permission.
    """
    while True:
        try:
            owner = os.stat(path).st_uid
        except OSError:
            path, below = os.path.dirname(os.path.abspath(path)), path
            if path == below:
                return None
            continue
        if os.geteuid() in {0, owner}:
            return None
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            return f"#{owner}"
