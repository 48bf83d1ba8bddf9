"""Number of workers, their options and their models, from the settings; what is automatic, too.

Decides the number of processes and the memory limit of each where the settings say "auto".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.machine import available_bytes, cores, may_have_gpu
from sharpend.settings.schema import resolve_model
from sharpend.settings.values import unless_auto
from sharpend.workers.cluster.notices import Cluster
from sharpend.workers.limits import BYTES_PER_PIXEL
from sharpend.workers.loading import WorkerOptions

if TYPE_CHECKING:
    from sharpend.settings.schema import Settings


_MEGA = 1_000_000
NO_CANARY = "none"
MOST_WORKERS = 64
"""Most processes that are chosen automatically; as for the setting."""
MOST_WORKERS_ON_GPU = 4
"""One process decodes and encodes while another computes; more only cost memory."""
CORES_PER_WORKER_ON_GPU = 2
BYTES_PER_WORKER = 2 << 30
"""Memory of a process with its models, and of a large image in it."""
LEAST_BYTES = 1 << 30
"""Memory for a running model, and for all that does not depend on the image's size."""
SHARE_OF_MEMORY = 0.8
"""Share of the memory of machine or control group, for all workers together."""
GPUS_PER_ACTOR = 0.25
"""As many workers as one GPU has on one machine."""


def models(settings: Settings) -> list[str]:
    """List the models in use, the main one first."""
    named = [folder.model or settings.model.name for folder in settings.folder]
    wanted = named or [settings.model.name]
    return list(dict.fromkeys(resolve_model(one, settings) for one in wanted))


def canary_model(settings: Settings) -> str | None:
    """Return the model that is tried; None where none is, or on no image."""
    canary = settings.canary
    return canary.model if canary.model != NO_CANARY and canary.share else None


def worker_count(settings: Settings) -> int:
    """Return the number of worker processes.

    On a CPU there is one for each core that has memory: the threads of one process wait for each
    other, which costs most of the speed while other programs use the cores.
    """
    count = unless_auto(settings.workers.count)
    if count is not None:
        return count
    device = settings.model.device
    if device.startswith(("cuda", "mps")) or (device == "auto" and may_have_gpu()):
        return max(1, min(cores() // CORES_PER_WORKER_ON_GPU, MOST_WORKERS_ON_GPU))
    fitting = int(available_bytes() * SHARE_OF_MEMORY) // BYTES_PER_WORKER
    return max(1, min(cores(), fitting, MOST_WORKERS))


def worker_options(settings: Settings) -> WorkerOptions:
    """Options of every worker process."""
    threads = unless_auto(settings.workers.threads)
    if threads is None and settings.engine.kind == "ray":
        threads = max(1, int(settings.engine.cpus))
    return WorkerOptions(
        device=settings.model.device,
        precision=settings.model.precision,
        runtime=settings.model.runtime,
        tile_px=unless_auto(settings.model.tile_px),
        threads=threads or max(1, cores() // worker_count(settings)),
        crop_px=settings.agreement.crop_px,
        job_timeout_s=settings.workers.job_timeout_s,
        memory_bytes=_memory_bytes(settings),
    )


def _memory_bytes(settings: Settings) -> int:
    """Memory limit of one image; automatic: for the largest, if all workers together fit."""
    chosen = unless_auto(settings.workers.memory_mb)
    if chosen is not None:
        return round(chosen * _MEGA)
    largest = settings.limits.max_megapixels * _MEGA * BYTES_PER_PIXEL
    if settings.engine.kind == "ray":  # the memory of this machine is not that of the nodes
        return round(LEAST_BYTES + largest)
    share = available_bytes() * SHARE_OF_MEMORY / worker_count(settings)
    return round(max(min(LEAST_BYTES + largest, share), LEAST_BYTES))


def worker_start_values(settings: Settings) -> tuple[object, ...]:
    """List the values that workers are started with; a change needs new workers."""
    return (
        worker_options(settings),
        worker_count(settings),
        settings.engine,
        settings.workers.job_timeout_s,
        any(folder.is_remote for folder in settings.folder),
        models(settings),
        bool(settings.agreement.sample),
        canary_model(settings),
    )


def cluster(settings: Settings) -> Cluster:
    """Cluster to join, and what each worker on it takes."""
    engine, gpus = settings.engine, settings.engine.gpus
    if gpus == "auto":
        gpus = GPUS_PER_ACTOR if settings.model.device.startswith("cuda") else 0.0
    return Cluster(engine.address, engine.cpus, gpus)


def workers_wanted(settings: Settings) -> int | None:
    """Return the number of workers wanted on a cluster; None: as many as fit."""
    wanted = settings.engine.workers
    return None if wanted == "auto" else wanted
