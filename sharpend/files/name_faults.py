"""Decide whether an error of the file system is about one name, or about the folder it is in.

Owns the errors that both can cause, and the trial with a plain name that distinguishes them: where
a file with a plain name can be made and removed in the same folder, the error is about the name.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress

_OF_A_NAME = {errno.EINVAL, errno.EILSEQ}
"""Answers to a name with a character or an encoding that the file system does not know."""
_DENIED = {errno.EACCES, errno.EPERM}


def is_of_name(error: OSError, parent: int, *, creates: bool) -> bool:
    """Return whether an error is about the name that was worked with, not about its folder.

    Args:
        error: what the file system said.
        parent: descriptor of the folder.
        creates: the name was to be made or replaced, so a denial can be about it, too.
    """
    suspected = error.errno in _OF_A_NAME or (creates and error.errno in _DENIED)
    return suspected and _takes_a_plain_name(parent)


def _takes_a_plain_name(parent: int) -> bool:
    name = b".sharpend-%s.tmp" % secrets.token_hex(8).encode()
    with suppress(OSError):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=parent))
        os.unlink(name, dir_fd=parent)
        return True
    return False
