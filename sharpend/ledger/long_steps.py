"""Long steps of a large ledger: check, upgrade and count report progress, and can be cancelled.

Owns the handler that SQLite calls while a statement runs: the service manager ends a start that
says nothing for too long.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INSTRUCTIONS = 100_000
"""Instructions of SQLite's machine between two calls of `go_on`: some milliseconds."""


class AbandonedError(Exception):
    """A long step was cancelled; the ledger is as it was before."""


@contextmanager
def abandonable(connection: sqlite3.Connection, go_on: Callable[[], bool]) -> Iterator[None]:
    """Call `go_on` repeatedly during the statements of a block.

    Raises:
        AbandonedError: it returned False, which ends the statement that runs.
    """
    connection.set_progress_handler(lambda: not go_on(), _INSTRUCTIONS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise AbandonedError from error
        raise
    finally:
        connection.set_progress_handler(None, 0)
