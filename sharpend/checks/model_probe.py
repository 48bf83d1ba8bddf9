"""Worker probe: a process, run by `runner.ask`, that loads the models as a worker does.

Starts as a worker does, loads the models of the settings and runs them once; then reports
torch and the image libraries. This process imports torch, its parent never does.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sharpend.checks.runner import answer
from sharpend.errors import UnavailableError
from sharpend.machine import processor
from sharpend.workers import messages, worker
from sharpend.workers.forking import die_with_parent
from sharpend.workers.loading import of_canary, require_teacher

if TYPE_CHECKING:
    from sharpend.workers.loading import LoadedModel, WorkerOptions


def _respond(question: dict[str, Any]) -> dict[str, Any]:
    options = messages.WORKER_OPTIONS.read(question["options"])
    die_with_parent(os.getppid())
    worker.load()
    worker.start(options)
    loaded_models, errors = [], []
    for model, teacher in question["models"]:
        try:
            loaded_models.append(_described(worker.describe(model, teacher), options))
        except UnavailableError as error:
            errors.append(str(error))
    if canary := question["canary"]:
        try:
            loaded = require_teacher(worker.describe(canary, teacher=True))
            loaded_models.append(_described(loaded, options))
        except UnavailableError as error:
            errors.append(str(of_canary(error)))
    libraries = importlib.import_module("sharpend.imaging.libraries").versions()
    return {"models": loaded_models, "errors": errors, "torch": _torch(), "libraries": libraries}


def _described(loaded: LoadedModel, options: WorkerOptions) -> dict[str, Any]:
    """Facts about a model, and what its precision was chosen by."""
    cause = "as set" if loaded.trial is None else str(loaded.trial)
    trial = loaded.trial
    refused = () if trial is None else trial.refused(options.runtime, options.precision)
    return asdict(loaded) | {"precision_cause": cause, "refused": [str(one) for one in refused]}


def _torch() -> dict[str, Any]:
    torch = importlib.import_module("torch")
    cuda = torch.cuda.is_available()
    return {
        "version": torch.__version__,
        "built_for_cuda": torch.version.cuda,
        "devices": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        if cuda
        else [],
        "capability": torch.backends.cpu.get_cpu_capability(),
        "amx": "amx_bf16" in processor(),
        "threads": torch.get_num_threads(),
        "mkldnn": torch.backends.mkldnn.is_available(),
    }


if __name__ == "__main__":
    answer(_respond)
