"""Nodes of the cluster that the settings name, asked by `doctor` and `check`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sharpend.checks import nodes
from sharpend.commit.destination import TempNames
from sharpend.daemon import settings_values, worker_settings
from sharpend.daemon.engine import ray_pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.checks.finding import Finding
    from sharpend.settings.schema import Settings

_NO_JOB = 0


def nodes_of(settings: Settings) -> Iterator[Finding]:
    """Join the cluster, ask every node, and leave it."""
    destinations = [plan.destination for plan in settings_values.folder_plans(settings)]
    new_name = partial(TempNames(settings.state).new, _NO_JOB)
    pool = ray_pool(settings, lambda: None)
    return nodes.nodes(pool, worker_settings.models(settings), destinations, new_name)
