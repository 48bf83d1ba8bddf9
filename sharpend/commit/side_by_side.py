"""Work on the entries of a group side by side, where their place gains from it.

In object storage a step then waits for one answer, not for each; so does an fsync of many folders.
Refuses to begin a step before the
one before it has ended for all.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_Entry = TypeVar("_Entry")


def for_each(
    entries: Sequence[_Entry], work: Callable[[_Entry], None], at_once: Callable[[_Entry], int]
) -> None:
    """Work on all entries: first on those that go one after the other, then side by side.

    Args:
        entries: of a group.
        work: called with each, in a thread where several are worked on at once.
        at_once: number of entries of the same place that are worked on at once.

    Raises:
        Exception: the first of those that `work` raised, after all have ended.
    """
    together = [one for one in entries if at_once(one) > 1]
    alone = [one for one in entries if at_once(one) == 1]
    for one in alone if len(together) > 1 else [*alone, *together]:
        work(one)
    if len(together) > 1:
        with ThreadPoolExecutor(min(len(together), *map(at_once, together))) as threads:
            for ended in [threads.submit(partial(work, one)) for one in together]:
                ended.result()
