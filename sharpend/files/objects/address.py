"""Addresses of folders in object storage: `s3://bucket/prefix`.

Owns the rule which keys are files below such a folder, and which files have a key. Refuses keys
that are no relative path (`..`, empty components), and names that are not UTF-8: no key is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sharpend.errors import ImageRefusedError, Reason, name_not_possible
from sharpend.files.remote import SCHEME, is_url

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_NO_NAMES = {"", ".", ".."}
LONGEST_KEY_BYTES = 1024
"""Amazon S3 user guide, "Naming Amazon S3 objects"."""


@dataclass(frozen=True, slots=True)
class Address:
    """A folder in object storage; `os.fsencode` gives its root as other folders have one."""

    bucket: str
    prefix: str = ""
    """Empty, or the beginning of all keys below the folder, without the slash at its end."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Parse `s3://bucket/prefix`; a slash at the end is ignored.

        Raises:
            ValueError: it is no such address.
        """
        bucket, _, prefix = text[len(SCHEME) :].partition("/")
        prefix = prefix.removesuffix("/")
        named = not prefix or not _NO_NAMES.intersection(prefix.split("/"))
        if not is_url(text) or not _BUCKET.fullmatch(bucket) or not named:
            raise ValueError("must be an address such as s3://bucket/folder")
        if not prefix.isprintable() or len(prefix.encode()) > LONGEST_KEY_BYTES // 2:
            raise ValueError("must have a folder of printable characters, 512 bytes at most")
        return cls(bucket, prefix)

    @classmethod
    def of(cls, root: bytes) -> Address:
        """Parse the root of a folder for which `is_remote` is true."""
        return cls.parse(root.decode())

    def __fspath__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return "/".join(filter(None, (f"{SCHEME}{self.bucket}", self.prefix)))

    @property
    def name(self) -> str:
        """The last component, as a path has one."""
        return self.prefix.rpartition("/")[2] or self.bucket

    @property
    def beginning(self) -> str:
        """Return the beginning that the keys of all files below the folder have."""
        return f"{self.prefix}/" if self.prefix else ""

    def key(self, relative: bytes) -> str:
        """Return the key of a file below the folder.

        Raises:
            ImageRefusedError: NAME_NOT_POSSIBLE, its path is not UTF-8; NAME_TOO_LONG.
        """
        try:
            key = self.beginning + relative.decode()
        except UnicodeDecodeError as error:
            raise name_not_possible(relative, "it is not UTF-8") from error
        if len(key.encode()) > LONGEST_KEY_BYTES:
            raise ImageRefusedError(
                Reason.NAME_TOO_LONG,
                f"the key {key[:80]!r}… has more than the {LONGEST_KEY_BYTES} bytes of object"
                " storage; shorten folder.output or the folders above the input",
                setting="folder.output",
            )
        return key

    def relative(self, key: str) -> bytes | None:
        """Return the path of a key below the folder; None for one that is no path.

        A key that ends with a slash is a folder.
        """
        path = key.removeprefix(self.beginning)
        if not key.startswith(self.beginning) or _NO_NAMES.intersection(path.split("/")):
            return None
        return None if "\0" in path else path.encode("utf-8", "surrogatepass")
