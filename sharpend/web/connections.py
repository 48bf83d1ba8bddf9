"""Limit on connections: a bounded number of places, and a time limit for those that are idle.

Owns the time for a whole request and for taking an answer, and which connection ends where all
places are taken: the one that the server has waited for the longest. Whoever waits for an answer
keeps the place. So silent, slow and idle visitors keep nobody out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

MOST = 128
"""Places of a server."""
ASK_S = 20.0
"""Longest time for a request with its body: from its first byte, or from the connection."""
TAKE_S = 20.0
"""Longest time in which a visitor takes less than `LEAST_TAKEN` of an answer."""
LEAST_TAKEN = 16 * 1024
"""Bytes of an answer: a visitor who takes one at a time keeps no place."""
_ASKS = (h11.IDLE, h11.SEND_BODY)


class BoundedConnection(H11Protocol):
    """Connection of a visitor, as uvicorn constructs it."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **options)
        self.idle_since_s: float | None = None
        """Since when the server waits for the visitor, by the loop's clock; None in an answer."""
        self._ask_end: asyncio.TimerHandle | None = None
        self._take_end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place: that of another visitor where none is left."""
        super().connection_made(transport)
        self.idle_since_s = self.loop.time()
        self._begin_to_ask()
        if len(self.connections) >= (self.limit_concurrency or MOST):
            self._make_room()

    def _make_room(self) -> None:
        others = (
            one
            for one in self.connections
            if isinstance(one, BoundedConnection) and one is not self
        )
        idle = {one.idle_since_s: one for one in others if one.idle_since_s is not None}
        if idle:
            longest = idle[min(idle)]
            self.connections.discard(longest)
            longest.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Receive a part of a request."""
        self._begin_to_ask()
        super().data_received(data)
        if self.conn.their_state not in _ASKS:
            self.idle_since_s = None
            self._end_of_asking()

    def on_response_complete(self) -> None:
        """Wait for the next request; its beginning may be there already."""
        self.idle_since_s = self.loop.time()
        super().on_response_complete()
        if self.transport.is_closing():
            self._begin_to_take()
        elif self.conn.their_state not in _ASKS:
            self.idle_since_s = None
        elif self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]:
            self._begin_to_ask()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection without a next request, although it may not have taken its answer."""
        super().timeout_keep_alive_handler()
        self._begin_to_take()

    def pause_writing(self) -> None:
        """Wait until the visitor takes more of an answer."""
        super().pause_writing()
        self._begin_to_take()

    def resume_writing(self) -> None:
        """Go on with an answer."""
        super().resume_writing()
        self._end_of_taking()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._end_of_asking()
        self._end_of_taking()
        super().connection_lost(exc)

    def _begin_to_ask(self) -> None:
        if self._ask_end is None:
            self._ask_end = self.loop.call_later(ASK_S, self.transport.abort)

    def _end_of_asking(self) -> None:
        if self._ask_end is not None:
            self._ask_end.cancel()
            self._ask_end = None

    def _begin_to_take(self) -> None:
        if self._take_end is None:
            unsent = self.transport.get_write_buffer_size()
            self._take_end = self.loop.call_later(TAKE_S, self._look_at_taking, unsent)

    def _look_at_taking(self, before: int) -> None:
        self._take_end = None
        if before - self.transport.get_write_buffer_size() < LEAST_TAKEN:
            self.transport.abort()
        else:
            self._begin_to_take()

    def _end_of_taking(self) -> None:
        if self._take_end is not None:
            self._take_end.cancel()
            self._take_end = None
