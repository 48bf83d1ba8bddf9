"""All scenarios in the order of their numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.campaign import (
    absences,
    bursts,
    clocks,
    crashes,
    damage,
    disks,
    elsewhere,
    moves,
    names,
    pictures,
    states,
    uploads,
    writers,
)

if TYPE_CHECKING:
    from tests.campaign.rig import Scenario

_SUBJECTS = (
    *(crashes, bursts, writers, disks, names, pictures, damage, clocks, states, elsewhere),
    *(absences, uploads, moves),
)


def _order(scenario: Scenario) -> tuple[int, str]:
    parts = re.match(r"(\d+)(\w*)", scenario.number)
    assert parts is not None
    return int(parts[1]), parts[2]


SCENARIOS = tuple(sorted((one for room in _SUBJECTS for one in room.SCENARIOS), key=_order))
