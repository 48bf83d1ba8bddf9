"""Trials of models' forms as JSON: in messages, and in the file that remembers them.

The file is one of the state directory, because a worker may write nothing of its own. One that is
damaged, or of another version, is as good as none: the next start measures again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from sharpend.files.atomic import write_atomically
from sharpend.model.trial import PRECISIONS, RUNTIMES, Form, Trial
from sharpend.workers.jsoncodec import (
    MessageError,
    digest,
    dumps,
    flag,
    items,
    loads,
    one_of,
    optional,
    real,
    record,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FILE = "precision.json"
"""File name in the state directory."""
MOST = 16
"""Trials that are remembered, the latest first: each model of a machine has one."""
MOST_FORMS = 8
_MS = real(0.0, 1e9)
_FORM = record(
    Form,
    runtime=one_of(RUNTIMES),
    precision=one_of(PRECISIONS),
    ms=optional(_MS),
    ssim=optional(real(-2.0, 2.0)),
)
TRIAL = record(
    Trial,
    key=digest(),
    float32_ms=optional(_MS),
    others=items(_FORM, MOST_FORMS),
    remembered=flag(),
)
TRIALS = items(TRIAL, MOST)


def read(state_dir: Path) -> tuple[Trial, ...]:
    """Read the trials of earlier starts; none where the file is missing, unreadable or damaged."""
    with suppress(OSError, MessageError):
        return TRIALS.read(loads((state_dir / FILE).read_bytes()))
    return ()


def remember(state_dir: Path, trials: Iterable[Trial]) -> None:
    """Add trials to the file; nothing is written where it has them all.

    Raises:
        OSError: the state directory is missing, full or not writable.
    """
    known = read(state_dir)
    keys = {one.key for one in known}
    new = [replace(one, remembered=True) for one in trials if one.key not in keys]
    if new:
        write_atomically(state_dir / FILE, dumps(TRIALS.write((*new, *known))))
