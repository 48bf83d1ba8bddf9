"""Model that `auto` takes, by what is known before any model is loaded.

Names of outputs, plans and tasks contain the model, so a worker's trial of precisions comes too
late to choose it. The same settings, installation and processor always give the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sharpend.errors import UnavailableError
from sharpend.machine import processor
from sharpend.model.installed import openvino_version
from sharpend.model.shipped import has_ranges
from sharpend.model.trial import AUTO, INT8, OPENVINO

SMALLER, LARGER = "lite-photo", "base-photo"
"""The larger one takes two to three times as long in the same precision."""
_INT8_INSTRUCTIONS = {"avx512_vnni", "avx_vnni"}
"""Flags of /proc/cpuinfo; every processor with AMX has the first one. Others were not measured."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model, and the reason for it."""

    model: str
    cause: str


def automatic_model(*, device: str, runtime: str, precision: str, is_local: bool) -> Choice:
    """Choose the larger model for a named GPU, and for a CPU that can run it in int8.

    Whether int8 is in fact faster there and alike is a worker's trial; the model stays.

    Args:
        device: as set.
        runtime: as set.
        precision: as set.
        is_local: workers run on this machine, not on a cluster.
    """
    if device.startswith(("cuda", "mps")):
        return Choice(LARGER, f"model.device is {device}")
    if not is_local:
        return Choice(SMALLER, "the nodes of a cluster may differ")
    if runtime not in {AUTO, OPENVINO}:
        return Choice(SMALLER, f"model.runtime is {runtime}")
    if precision not in {AUTO, INT8}:
        return Choice(SMALLER, f"model.precision is {precision}")
    lacking = _lacks_for_int8()
    return Choice(SMALLER, lacking) if lacking else Choice(LARGER, "OpenVINO can run it in int8")


@cache
def _lacks_for_int8() -> str:
    """Say what this machine and installation lack for the larger model in int8; "" for nothing."""
    if openvino_version() is None:
        return "OpenVINO is not installed"
    if not _INT8_INSTRUCTIONS & set(processor().split()):
        return "the processor has no instructions for int8 (VNNI)"
    try:
        return "" if has_ranges(LARGER) else f"{LARGER} has no ranges for int8"
    except UnavailableError as error:
        return f"{LARGER} cannot be read: {error}"
