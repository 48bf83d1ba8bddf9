"""Names that are never inputs: temporary files of other programs, and files of systems."""

from __future__ import annotations

_JUNK_PREFIXES = (b".", b"~$", b"~syncthing~")
_JUNK_SUFFIXES = (
    b"~",
    b".part",
    b".partial",
    b".filepart",
    b".crdownload",
    b".opdownload",
    b".download",
    b".tmp",
    b".temp",
)
_JUNK_NAMES = frozenset(
    {
        b"thumbs.db",
        b"ehthumbs.db",
        b"desktop.ini",
        b"$recycle.bin",
        b"system volume information",
        b"lost+found",
        b"@eadir",
        b"@tmp",
        b"@recycle",
        b"#recycle",
        b"@recently-snapshot",
        b"@sharebin",
        b"#snapshot",
        b"~snapshot",
        b"recycler",
        b"network trash folder",
        b"temporary items",
        b"__macosx",
    }
)


def ignored(name: bytes) -> bool:
    """Return whether one component of a path is a dotfile, a temporary name or a system file."""
    lower = name.lower()
    return (
        lower.startswith(_JUNK_PREFIXES) or lower.endswith(_JUNK_SUFFIXES) or lower in _JUNK_NAMES
    )
