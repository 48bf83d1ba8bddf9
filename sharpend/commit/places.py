"""Choice of the place of a root: object storage if it begins with `s3://`, else a file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.commit.local_place import LocalPlace
from sharpend.commit.remote import RemotePlace
from sharpend.files.remote import is_remote

if TYPE_CHECKING:
    from sharpend.commit.place import Place
    from sharpend.files.objects.uploads import Uploads


def place_of(root: bytes, uploads: Uploads) -> Place:
    """Return the place of a root.

    Args:
        root: path of a folder, or its address in object storage.
        uploads: staged files in object storage, and copies there that are not complete.
    """
    return RemotePlace(uploads) if is_remote(root) else LocalPlace()
