"""Runtimes that are installed, without importing them."""

from __future__ import annotations

from importlib import metadata

from sharpend.errors import UnavailableError


def version_of(package: str) -> str | None:
    """Return the version of a package, None if none is recorded: it may not be installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def openvino_version() -> str | None:
    """Return the version of OpenVINO, None if it is not installed."""
    return version_of("openvino")


def require_openvino(*, on_cpu: bool) -> None:
    """Check that models can run by OpenVINO.

    Raises:
        UnavailableError: it is not installed, or the device is a GPU.
    """
    change = 'set model.runtime and model.precision to "auto"'
    if not on_cpu:
        raise UnavailableError(f"model.runtime: openvino runs on a CPU only; {change}")
    if openvino_version() is None:
        raise UnavailableError(
            f"model.runtime: openvino is not installed; install sharpend[openvino], or {change}"
        )
