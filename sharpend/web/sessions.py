"""Sessions: a signed cookie that identifies a visitor, and the CSRF token that belongs to it.

Owns the secret, which lives as long as the process: a restart ends all sessions. Nothing is stored
for a session, so that no caller can fill the memory.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LASTS_S = 12 * 3600
_LONGEST = 512
"""Characters of a cookie; longer ones are not this site's."""


@dataclass(frozen=True, slots=True)
class Session:
    """Session of one browser."""

    who: str
    """Name of the token; empty before one was given."""
    cookie: str
    """Value of the cookie."""
    csrf: str
    """Token that each form carries."""


class Sessions:
    """Maker and judge of sessions.

    Args:
        cookie: name of the cookie.
        clock: wall clock in seconds.
    """

    def __init__(self, cookie: str = "sharpend", clock: Callable[[], float] = time.time) -> None:
        self.cookie = cookie
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    def new(self, who: str) -> Session:
        """Begin a session."""
        name = base64.urlsafe_b64encode(who.encode()).decode()
        ends = int(self._clock()) + LASTS_S
        text = f"{name}.{ends}.{secrets.token_urlsafe(16)}"
        return self._session(who, f"{text}.{self._signed('cookie', text)}")

    def of(self, cookie: str) -> Session | None:
        """Return the session of a cookie; None if it is not ours or too old."""
        text, _, signature = cookie.rpartition(".")
        if len(cookie) > _LONGEST or not cookie.isascii():
            return None
        if not hmac.compare_digest(signature, self._signed("cookie", text)):
            return None
        name, ends, _ = text.split(".")
        if int(ends) < self._clock():
            return None
        return self._session(base64.urlsafe_b64decode(name).decode(), cookie)

    def _session(self, who: str, cookie: str) -> Session:
        return Session(who, cookie, self._signed("csrf", cookie))

    def _signed(self, purpose: str, text: str) -> str:
        message = f"{purpose}:{text}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


def is_token(session: Session, given: str) -> bool:
    """Return whether a form carries the CSRF token of a session, in constant time."""
    return given.isascii() and hmac.compare_digest(session.csrf, given)
