"""Worker process: imports, start with confinement, description of a model, execution of one task.

Untrusted files are decoded here and nowhere else, so this process is confined before its first
task: see `sharpend.workers.sandbox` and `sharpend.workers.limits`. The pool's process imports this
module and stays free of torch: the pipeline is imported only by `load`, in the fork
server.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sharpend import machine
from sharpend.attempt import Failed
from sharpend.errors import Reason, TransientError, UnavailableError
from sharpend.model.installed import version_of
from sharpend.model.trial import TORCH
from sharpend.workers import sandbox
from sharpend.workers.limits import ResourceLimits
from sharpend.workers.loading import HealthyRatio, LoadedModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sharpend.attempt import Staged
    from sharpend.model.trial import Trial
    from sharpend.task import Task
    from sharpend.workers.loading import WorkerOptions

MEMORY_SETTING = "workers.memory_mb"
"""Setting that gives an image more memory."""
FOR_COMPILERS = "torch._meta_registrations"
"""Part of torch that computes shapes of tensors without values, as compilers need them: a fifth of
the time of its import, and 19 MB."""
FOR_GPUS = "cuda"
"""NVIDIA's Python bindings, which torch imports where they are, and does without otherwise."""
TRIED_WITHOUT = ("2.14.",)
"""Beginnings of the versions of torch with which all tests passed without that part."""
OPENVINO_THREADS = 16
"""Threads of two models with all their frames: two for each; they sleep, but reserve addresses."""


_pipeline: Any = None
"""The Pipeline. One process has one."""
_limits: Any = None
"""The ResourceLimits, likewise."""
_confined_by: tuple[str, ...] = ()


def load() -> None:
    """Import the pipeline, which needs no options.

    The garbage collector is off meanwhile, and leaves alone later what was made: it would look
    through a million objects of modules again and again, for a fifth of the time of the import.
    In forked workers it would copy the memory that they share.
    """
    with _uncollected(), _without_compilers(), _without_gpu_bindings():
        _imported()


def prepare() -> None:
    """Import what only workers need that may run models by OpenVINO."""
    with _uncollected():
        *_, runtimes = _imported()
        runtimes.preload_openvino()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Turn the garbage collector off, and let it leave alone what is made meanwhile."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def start(options: WorkerOptions) -> None:
    """Construct the pipeline, then enter the sandbox."""
    global _pipeline, _limits, _confined_by  # noqa: PLW0603 - see above
    pipeline, device, runtimes = _imported()
    placement = device.Placement(
        options.device,
        options.precision,
        options.tile_px,
        options.threads,
        options.trials,
        options.runtime,
    )
    # Asking for a GPU loads its driver, which may start a program of its own: before the sandbox.
    # Drivers reserve far more addresses than they use, and some talk through local sockets.
    on_cpu = device.runs_on_cpu(options.device)
    later_threads = 0
    if on_cpu and options.runtime != TORCH and runtimes.preload_openvino():
        later_threads = OPENVINO_THREADS
    memory_bytes = options.memory_bytes if on_cpu else None
    _pipeline = pipeline.Pipeline(placement, crop_px=options.crop_px, memory_bytes=memory_bytes)
    _limits = ResourceLimits(options.job_timeout_s, memory_bytes, later_threads)
    _confined_by = sandbox.enter(local_sockets=not on_cpu)


def _imported() -> list[ModuleType]:
    """Import the pipeline, with torch, and `device` and `runtimes` of `sharpend.model`."""
    names = "workers.pipeline", "model.device", "model.runtimes"
    return [importlib.import_module(f"sharpend.{name}") for name in names]


@contextmanager
def _without_compilers() -> Iterator[None]:
    """Let torch be imported without FOR_COMPILERS; what imports that later gets it as it is."""
    if FOR_COMPILERS in sys.modules or not (version_of("torch") or "").startswith(TRIED_WITHOUT):
        yield
        return
    sys.modules[FOR_COMPILERS] = ModuleType(FOR_COMPILERS)
    try:
        yield
    finally:
        del sys.modules[FOR_COMPILERS]
        package, _, name = FOR_COMPILERS.rpartition(".")
        with suppress(KeyError):  # without torch its own error is raised
            del vars(sys.modules[package])[name]


@contextmanager
def _without_gpu_bindings() -> Iterator[None]:
    """Let torch be imported without FOR_GPUS on a machine that has no GPU."""
    if FOR_GPUS in sys.modules or machine.may_have_gpu():
        yield
        return
    sys.modules[FOR_GPUS] = None  # type: ignore[assignment]  # its import fails
    try:
        yield
    finally:
        del sys.modules[FOR_GPUS]


def describe(model: str, teacher: bool) -> LoadedModel:  # noqa: FBT001 - as in its message
    """Load and try a model, and its teacher if one is wanted."""
    try:
        sharpener = _pipeline.models.sharpener(model)
        if sharpener.trial is None or sharpener.trial.remembered:  # else it has just run
            sharpener.warm_up()
    except TransientError as error:
        raise UnavailableError(str(error)) from error
    card = sharpener.card
    if teacher and card.teacher is not None:
        _pipeline.models.opinion(model)
    return LoadedModel(
        model=card.name,
        digest=sharpener.digest,
        device=sharpener.runtime.described,
        tile_px=sharpener.runtime.tile_px,
        softened_by=card.undoes_factor,
        alarm_below=card.alarm_below,
        teacher=card.teacher if teacher else None,
        resident_bytes=machine.resident_bytes(os.getpid()),
        confined_by=_confined_by,
        residual_above=card.residual_above,
        measurable_from=card.measurable_from,
        precision=sharpener.runtime.precision,
        runtime=sharpener.runtime.name,
        trial=sharpener.trial,
        teacher_digest=card.teacher_digest,
        healthy=tuple(HealthyRatio(*one) for one in card.healthy_ratios.items()),
    )


def follow(trial: Trial) -> None:
    """Place models as another worker's trial says; called before the first task."""
    _pipeline.models.follow(trial)


def work(task: Task) -> Staged | Failed:
    """Run one task within the limits; report it if the memory limit made it fail."""
    _limits.renew()
    outcome: Staged | Failed = _pipeline.run(task)
    if (
        isinstance(outcome, Failed)
        and outcome.reason is Reason.OUT_OF_MEMORY
        and _limits.limits_memory
    ):
        message = f"it needs more memory than a worker may use; raise {MEMORY_SETTING}"
        return replace(outcome, message=message, setting=MEMORY_SETTING)
    return outcome
