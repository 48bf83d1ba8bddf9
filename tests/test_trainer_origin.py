"""What a run began with is noted once, and stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sharpend.errors import UnavailableError, UsageError
from sharpend.model import weights
from trainer.training.origin import commit, note_origin, read_origin
from trainer.training.split import Split

if TYPE_CHECKING:
    from tests.conftest import Networks

SPLIT = Split((Path("a.png"),), (Path("b.png"),), "f" * 16)
LABELS = {"teacher": "large", "digest": "1" * 64}


def test_a_run_stays_on_the_data_that_it_began_with(tmp_path: Path) -> None:
    """The note is written once; the same data passes again, other data is refused."""
    run = tmp_path / "run"
    assert read_origin(run) is None
    note_origin(run, SPLIT, LABELS, "")
    note_origin(run, SPLIT, LABELS, "")
    noted = read_origin(run)
    assert noted is not None
    assert (noted["labels"], noted["split"], noted["start"]) == (LABELS, "f" * 16, None)
    for split, labels in ((SPLIT, None), (Split(SPLIT.train, SPLIT.validation, "0" * 16), LABELS)):
        with pytest.raises(UsageError, match="was started with other images or labels"):
            note_origin(run, split, labels, "")


def test_weights_to_begin_with_are_noted_as_they_were(tmp_path: Path, networks: Networks) -> None:
    """By digest, for another model may have that name by the time that someone reads it."""
    start = str(networks.student)
    note_origin(tmp_path, SPLIT, None, start)
    noted = read_origin(tmp_path)
    assert noted is not None
    assert noted["start"] == {"name": start, "digest": weights.load(start).digest}
    note_origin(tmp_path / "mean", SPLIT, None, start, "lite-x4")
    noted = read_origin(tmp_path / "mean")
    assert noted is not None
    averaged = {"name": "lite-x4", "digest": weights.load("lite-x4").digest}
    assert noted["start"]["averaged_with"] == averaged
    note_origin(tmp_path, SPLIT, None, "gone-since")
    with pytest.raises(UnavailableError):
        note_origin(tmp_path / "other", SPLIT, None, "none-such")


def test_the_commit_is_short_or_unknown() -> None:
    """A hash of this checkout, marked where files were changed, or a word for none."""
    assert re.fullmatch(r"[0-9a-f]{7,12}(-dirty)?|unknown", commit())
