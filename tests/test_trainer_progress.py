"""What long work reports while it runs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from trainer.training.progress import with_progress

if TYPE_CHECKING:
    import pytest


def test_programs_read_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """However many items there are, at most ten lines, the last with all of them."""
    assert list(with_progress(range(35), what="labels", total=35)) == list(range(35))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["labels"] for line in lines] == [4, 7, 11, 14, 18, 21, 25, 28, 32, 35]
    assert list(with_progress(range(3), what="labels", total=3)) == [0, 1, 2]
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_people_see_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal the same work moves a bar."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(with_progress("abc", what="labels", total=3)) == ["a", "b", "c"]
    assert "labels 100%" in capsys.readouterr().err
