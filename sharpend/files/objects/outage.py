"""Outage of a store: one request at a time asks whether it is over, and all others fail at once.

Owns the times of these requests. There is one endpoint for all folders of a process, so its outage
is noticed once, and ends for all of them with the first answer.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHUT_S = 15.0
"""Least seconds for which a store that failed is not asked again: each try makes others wait."""
_SHARE = 2.0
"""The same as a multiple of the failed try's duration: tries take at most a third of the time."""


class NoAnswerError(OSError):
    """The endpoint gave no answer, or one that says that it fails."""


class Outage:
    """Memory of an endpoint that gave no answer; for all threads.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failed_s = self._until_s = -math.inf
        self._cause: NoAnswerError | None = None
        """None while there is no outage."""

    @property
    def cause(self) -> str | None:
        """Reason why the endpoint gives no answer now, in words; None while it does."""
        cause = self._cause
        return None if cause is None else cause.strerror

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Ask the store in this block; at once NoAnswerError while another request does so."""
        began_s = self._begun()
        try:
            yield
        except NoAnswerError as error:
            now_s = self._clock()
            with self._lock:
                self._failed_s = now_s
                self._until_s = now_s + max(SHUT_S, _SHARE * (now_s - began_s))
                self._cause = error
            raise
        except BaseException:
            self._answered(began_s)
            raise
        self._answered(began_s)

    def _answered(self, began_s: float) -> None:
        """End the outage; the answer to a request that is older than it does not."""
        with self._lock:
            if began_s >= self._failed_s:
                self._cause = None

    def _begun(self) -> float:
        """Return the time, and keep other requests from asking what this one asks."""
        now_s = self._clock()
        with self._lock:
            cause = self._cause
            if cause is not None and now_s < self._until_s:
                raise NoAnswerError(cause.errno, cause.strerror)
            if cause is not None:
                self._until_s = now_s + SHUT_S
        return now_s
