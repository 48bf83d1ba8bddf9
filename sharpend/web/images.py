"""Previews as they are served: files that workers have made, passed on without a look inside.

Refuses everything that is no regular file of a preview: the worker that made it is not trusted.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from sharpend.files.atomic import READ_FILE
from sharpend.files.preview_layout import IMAGES, MOST_BYTES
from sharpend.files.previews import Previews

if TYPE_CHECKING:
    from pathlib import Path


def read(state_dir: Path, job_id: int, name: str) -> bytes | None:
    """Read a file of a preview.

    Args:
        state_dir: of the daemon.
        job_id: of the image.
        name: one of `IMAGES`.

    Returns:
        The content, or None where there is no such file.
    """
    preview = Previews(state_dir).find(job_id) if name in IMAGES else None
    if preview is None:
        return None
    with suppress(OSError), os.fdopen(os.open(preview.path(name), READ_FILE), "rb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            content = file.read(MOST_BYTES + 1)
            return content if len(content) <= MOST_BYTES else None
    return None
