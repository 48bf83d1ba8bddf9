"""Device checks: models, torch, GPU, codecs, and CPU use.

Runs the process `model_probe` and judges its answer.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sharpend.checks.finding import Finding, fault, note, ok
from sharpend.checks.runner import Runner, ask
from sharpend.errors import ExitCode, UnavailableError
from sharpend.workers import messages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sharpend.workers.loading import WorkerOptions

_PROBE = "sharpend.checks.model_probe"
_ALWAYS = ("pillow", "imagecodecs", "tifffile", "libjpeg_turbo", "zlib", "webp", "avif")
_DRIVER = "/proc/driver/nvidia/version"
_CPU_BUILDS = "https://download.pytorch.org/whl/cpu"


def ask_worker(
    runner: Runner,
    options: WorkerOptions,
    models: Sequence[str],
    *,
    teacher: bool,
    canary: str | None = None,
) -> dict[str, Any] | UnavailableError:
    """Start a worker as the daemon would, with its user's rights, and return its answer."""
    given = messages.WORKER_OPTIONS.write(options)
    wanted = [(model, teacher) for model in models]
    question = {"options": given, "models": wanted, "canary": canary}
    try:
        answer: dict[str, Any] = ask(runner, _PROBE, question)
    except UnavailableError as error:
        return error
    return answer


def has_driver() -> bool:
    """Return whether this machine has NVIDIA's driver."""
    return os.path.exists(_DRIVER)


def device(answer: Mapping[str, Any] | UnavailableError, *, driver: bool) -> Iterator[Finding]:
    """Check models, device, torch and codecs.

    Args:
        answer: by `ask_worker`.
        driver: this machine has NVIDIA's driver.
    """
    if isinstance(answer, UnavailableError):
        change = "let the user that runs it read the whole installation, or reinstall it"
        yield fault("worker", f"does not start: {answer}", change, ExitCode.UNAVAILABLE)
        return
    for error in answer["errors"]:
        what, _, change = error.rpartition("; ")
        yield fault("device", what or change, change if what else "", ExitCode.UNAVAILABLE)
    for loaded in answer["models"]:
        taught = f"teacher {loaded['teacher']}" if loaded["teacher"] else "without its teacher"
        ran = f"{loaded['model']} runs on {loaded['device']}"
        yield ok("device", f"{ran}, tiles of {loaded['tile_px']} pixels, {taught}")
        yield _precision(loaded)
    yield from (_confined(loaded["confined_by"]) for loaded in answer["models"][:1])
    yield from _torch(answer["torch"], driver=driver)
    yield _codecs(answer["libraries"])


def _precision(loaded: Mapping[str, Any]) -> Finding:
    """Report the precision of a model and the measurement that chose it."""
    found = f"{loaded['model']} in {loaded['precision']}: {loaded['precision_cause']}"
    if loaded["refused"]:
        names = ", ".join(loaded["refused"])
        change = 'model.precision = "float32", or another one'
        return note("precision", f"{found}: too unlike float32, so refused: {names}", change)
    return ok("precision", found)


def _confined(confined_by: Sequence[str]) -> Finding:
    """Check the sandbox of the workers."""
    if not confined_by:
        return note(
            "worker",
            "workers are not sandboxed on this machine: only the unit's sandbox protects it",
        )
    return ok("worker", f"confined by {', '.join(confined_by).replace('_', ' ')}")


def _torch(torch: Mapping[str, Any], *, driver: bool) -> Iterator[Finding]:
    capability = f"{torch['capability']}{' and AMX' if torch['amx'] else ''}"
    text = f"{torch['version']}, {capability}, {torch['threads']} threads a worker"
    if torch["devices"]:
        yield ok("torch", f"{text}, {', '.join(torch['devices'])}")
    elif driver and torch["built_for_cuda"]:
        change = "let the unit and its user reach /dev/nvidia*, or update the driver"
        yield note(
            "torch", f"{text}; a CUDA driver is installed, but torch finds no device", change
        )
    elif driver:
        change = "install torch built for CUDA to use the GPU"
        yield note(
            "torch", f"{text}; a CUDA driver is installed, but torch is built without CUDA", change
        )
    elif torch["built_for_cuda"]:
        built = f"built for CUDA {torch['built_for_cuda']}, but no driver is installed"
        change = f"to save 4.5 GB: a new environment, with PIP_EXTRA_INDEX_URL={_CPU_BUILDS}"
        yield note("torch", f"{text}; {built}: torch's CPU build would suffice", change)
    else:
        yield ok("torch", text)
    if not torch["mkldnn"]:
        yield note(
            "torch", "built without oneDNN, which does convolutions on the CPU", "rebuild it"
        )


def _codecs(libraries: Mapping[str, str | None]) -> Finding:
    there = ", ".join(f"{name} {version}" for name, version in libraries.items() if version)
    missing = [name for name in _ALWAYS if not libraries[name]]
    extras = [name for name in libraries if name not in _ALWAYS and not libraries[name]]
    if missing:
        what = f"{', '.join(missing)} not installed: some formats will be refused; {there}"
        return note("codecs", what, "install Pillow as a wheel")
    without = f"; not installed: {', '.join(extras)}" if extras else ""
    return ok("codecs", f"{there}{without}")


def workers(count: int, threads: int, cores: int) -> Finding:
    """Check that processes and threads fit the number of cores."""
    text = f"{count} of {threads} threads on {cores} cores"
    if count * threads > cores:
        change = 'workers.count = "auto" and workers.threads = "auto", or fewer'
        return note("workers", f"{text}: CPU oversubscribed", change)
    return ok("workers", text)
