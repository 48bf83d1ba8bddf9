"""Tokens: who may look at the page, and a limit on failed attempts.

Owns the file of tokens: a line has a name and a token, or a token alone. Refuses short tokens, and
a file that others may read. Compares in constant time, and holds no token, only digests.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from sharpend.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LEAST_CHARACTERS = 32
"""Of a token: too many to be found by trying, however often."""
NAMELESS = "token"
"""Name of a token without one, in the log."""
LOCAL = "local"
"""Name of everybody, where no token is asked for."""
FAILURES_A_MINUTE = 5
FAILURES_OF_ALL_A_MINUTE = 60
"""The same for all callers together: one has many addresses."""
_MINUTE_S = 60.0
_MOST_CALLERS = 1024
_MAKE = "make one with `openssl rand -hex 32`"


class Tokens:
    """Tokens by name.

    Args:
        named: tokens by name; if empty, no token is needed.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._digests = {name: _digest(token) for name, token in named.items()}

    @property
    def are_asked_for(self) -> bool:
        """True if visitors need a token."""
        return bool(self._digests)

    def name_of(self, token: str) -> str | None:
        """Return the name of a token, or None for a wrong one, in the same time for any."""
        given, found = _digest(token), None
        for name, digest in self._digests.items():
            if hmac.compare_digest(given, digest):
                found = name
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def read(path: Path) -> Tokens:
    """Read a file of tokens; empty lines and those that begin with # count for nothing.

    Raises:
        ConfigError: it cannot be read, has no token, one is too short, or others may read it.
    """
    named: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as file:
            others = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o007
            lines = [line.split() for line in file if not line.startswith("#")]
    except (OSError, ValueError) as error:
        raise ConfigError(f"--token-file: {path}: cannot be read: {error}") from error
    if others:
        raise ConfigError(f"--token-file: {path}: everybody may read it: chmod 0640 {path}")
    for words in filter(None, lines):
        name, token = (NAMELESS, words[0]) if len(words) == 1 else (words[0], words[-1])
        if len(words) > 2 or name in named or len(token) < LEAST_CHARACTERS:  # noqa: PLR2004
            raise ConfigError(
                f"--token-file: {path}: a line has a name and a token of at least"
                f" {LEAST_CHARACTERS} characters, and each name once: {_MAKE}"
            )
        named[name] = token
    if not named:
        raise ConfigError(f"--token-file: {path}: it has no token: {_MAKE}")
    return Tokens(named)


class Throttle:
    """Limit on failed attempts, by caller and for all together; memory is bounded.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._of_all: list[float] = []

    def wait_s(self, caller: str) -> float:
        """Return the seconds until this caller may try again; 0 if at once."""
        now_s = self._clock()
        waits = (
            recent[-most] + _MINUTE_S - now_s
            for recent, most in (
                (_recent(self._failures.get(caller, []), now_s), FAILURES_A_MINUTE),
                (_recent(self._of_all, now_s), FAILURES_OF_ALL_A_MINUTE),
            )
            if len(recent) >= most
        )
        return max(waits, default=0.0)

    def failed(self, caller: str) -> None:
        """Count a failed attempt."""
        now_s = self._clock()
        self._of_all = [*_recent(self._of_all, now_s), now_s]
        self._failures[caller] = [*_recent(self._failures.pop(caller, []), now_s), now_s]
        while len(self._failures) > _MOST_CALLERS:
            self._failures.popitem(last=False)


def _recent(times_s: list[float], now_s: float) -> list[float]:
    return [one for one in times_s if one > now_s - _MINUTE_S]
