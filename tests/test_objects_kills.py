"""Kills of daemons that work on object storage, in a few rounds; `tests.store_kills` has more."""

from __future__ import annotations

import pytest

from tests.store_kills import Found, kill
from tests.store_server import running_store


@pytest.mark.slow
def test_killed_daemons_lose_and_double_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each input has one whole output after the next start, and no upload is open."""
    with running_store(monkeypatch) as store:
        found = kill(store, 3, 7, Found())
    assert found.faults == []
    assert found.kills.total() >= 3
