"""Requests to object storage side by side: the steps of a group wait for one answer, not for each.

Owns the number of threads. Refuses to begin a step before the one before it has ended for all.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sharpend.commit.store import Store

MOST = 16
"""Requests at once: below the connections that the client keeps."""
_Entry = TypeVar("_Entry")


def for_each(
    entries: Sequence[_Entry],
    work: Callable[[_Entry], None],
    store: Callable[[_Entry], Store | None],
) -> None:
    """Work on all entries: one after the other on disks, side by side in object storage.

    Args:
        entries: of a group.
        work: called with each, in a thread if it is in a store.
        store: the store that an entry is in; None: it is on a disk.

    Raises:
        Exception: the first of those that `work` raised, after all have ended.
    """
    for one in entries:
        if store(one) is None:
            work(one)
    far = [one for one in entries if store(one) is not None]
    if len(far) == 1:
        work(far[0])
    elif far:
        with ThreadPoolExecutor(min(MOST, len(far))) as threads:
            for ended in [threads.submit(partial(work, one)) for one in far]:
                ended.result()
