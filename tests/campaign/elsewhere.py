"""What is shown by other means than this campaign, or needs what this machine may not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tests.campaign.rig import NotRunError, Scenario

if TYPE_CHECKING:
    from tests.campaign.rig import Finding, Rig


def soak(_rig: Rig, _rounds: int, _finding: Finding) -> None:
    """41: takes hours and has a command of its own."""
    raise NotRunError("takes hours: `make soak`")


def device(_rig: Rig, _rounds: int, _finding: Finding) -> None:
    """40: a device that is lost or out of memory."""
    if not torch.cuda.is_available():
        raise NotRunError(
            "no CUDA device; tests/test_pool.py and test_runtime.py inject its errors"
        )
    raise NotRunError("a device cannot be lost without harm to others")


SCENARIOS = (
    Scenario(
        "40",
        "a CUDA device lost, absent, out of memory",
        "halved, restarted",
        device,
        1,
        1,
        in_ci=False,
    ),
    Scenario(
        "41",
        "hours of one image a second",
        "memory < 1 MB/h, the rest flat",
        soak,
        1,
        1,
        in_ci=False,
    ),
)
