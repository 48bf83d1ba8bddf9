"""Work on the entries of a group side by side, where their place gains from it.

In object storage a step then waits for one answer, not for each; so does an fsync of many folders.
Refuses to begin a step before the one before it has ended for all.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
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
        Exception: the first that `work` raised, after all have ended.
    """
    together = [one for one in entries if at_once(one) > 1]
    alone = [one for one in entries if at_once(one) == 1]
    for one in alone if len(together) > 1 else [*alone, *together]:
        work(one)
    if len(together) > 1:
        _in_threads(together, work, min(len(together), *map(at_once, together)))


def _in_threads(entries: Sequence[_Entry], work: Callable[[_Entry], None], at_once: int) -> None:
    waiting, errors = deque(entries), list[BaseException]()

    def work_off() -> None:
        while True:
            try:
                entry = waiting.popleft()
            except IndexError:  # all are taken
                return
            try:
                work(entry)
            except BaseException as error:  # noqa: BLE001 - raised below
                errors.append(error)

    with ThreadPoolExecutor(at_once) as threads:
        try:
            for _ in range(at_once):
                threads.submit(work_off)
        except RuntimeError:  # the system has no room for one more: this thread takes part
            work_off()
    if errors:
        raise errors[0]
