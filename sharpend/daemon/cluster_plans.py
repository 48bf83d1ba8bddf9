"""Translation of `[engine]` to plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.workers.cluster.notices import Cluster

if TYPE_CHECKING:
    from sharpend.settings.load import Settings

GPUS_PER_HAND = 0.25
"""As many workers as one GPU has on one machine."""


def cluster(settings: Settings) -> Cluster:
    """Cluster to join, and what each worker on it takes."""
    engine, gpus = settings.engine, settings.engine.gpus
    if gpus == "auto":
        gpus = GPUS_PER_HAND if settings.model.device.startswith("cuda") else 0.0
    return Cluster(engine.address, engine.cpus, gpus)


def workers_wanted(settings: Settings) -> int | None:
    """Return the number of workers wanted on a cluster; None: as many as there is room for."""
    wanted = settings.engine.workers
    return None if wanted == "auto" else wanted
