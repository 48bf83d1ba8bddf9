"""Parts of long work: runs of numbers, done here or by several processes."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, TypeVar

import torch

from trainer.training.progress import with_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    T = TypeVar("T")

_PART = 32
"""Numbers of one part: some seconds of work."""


def in_parts(
    work: Callable[[range], list[T]], count: int, *, what: str, workers: int
) -> Iterator[T]:
    """Do the work of all numbers below `count`; yields one result for each, in order.

    Args:
        work: from numbers to their results; can be pickled if there are several workers.
        count: of the numbers.
        what: noun for them, plural, of the progress that is shown.
        workers: processes; with more than one, each computes on one thread.
    """
    parts = [range(start, min(start + _PART, count)) for start in range(0, count, _PART)]
    yield from with_progress(_done(work, parts, workers), what=what, total=count)


def _done(work: Callable[[range], list[T]], parts: list[range], workers: int) -> Iterator[T]:
    if workers == 1:
        for part in parts:
            yield from work(part)
        return
    # A process that is forked after torch has computed may wait for ever for threads it has not.
    start = get_context("spawn")
    with ProcessPoolExecutor(workers, start, torch.set_num_threads, (1,)) as processes:
        for done in processes.map(work, parts):
            yield from done
