"""Stages of a task: which one runs, and how long each took."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Stages:
    """Timer for the stages of a task, which knows the stage that is running."""

    current: str = "open"
    seconds: dict[str, float] = field(default_factory=dict)
    is_large: bool = False
    """The image may need more memory than it is allowed; some libraries call it a damaged file
    where an allocation fails, so they are not believed then."""
    input_digest: str | None = None
    """SHA-256 of the input, once it was read."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block; if it raises, its name stays the current stage."""
        self.current = name
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
