"""Files that people really drop into such a tool, through `sharpend once` under each policy.

`data/cases/policies.json` says what becomes of each: sharpened, `kept` (sharpened, and its source
stays though sources are deleted), or the reason of its refusal. It has the policies under which
that differs from the defaults.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests import cases
from tests.daemons import configured, once

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Networks

pytestmark = pytest.mark.slow

POLICIES: dict[str, dict[str, object]] = {
    "defaults": {},
    "frames=first": {"frames": "first"},
    "frames=all": {"frames": "all"},
    "cmyk=convert": {"cmyk": "convert"},
    "metadata=strip": {"metadata": "strip"},
    "metadata=strip-gps": {"metadata": "strip-gps"},
    "thumbnail=refresh": {"thumbnail": "refresh"},
    "thumbnail=drop": {"thumbnail": "drop"},
    "losses=keep": {"losses": "keep", "source": "delete"},
    "losses=accept": {"losses": "accept", "source": "delete"},
    "losses=refuse": {"losses": "refuse", "source": "delete"},
    "frames=first losses=keep": {"frames": "first", "losses": "keep", "source": "delete"},
}
"""Settings of the folder of each name."""
RIGHT = cases.table("policies")


def test_each_input_ends_as_is_right_under_each_policy(networks: Networks, tmp_path: Path) -> None:
    """A loss is named in each line, keeps the source or refuses it, and nothing else does."""
    for name in POLICIES:
        shutil.copytree(cases.FOLDER, tmp_path / name, ignore=shutil.ignore_patterns("*.json"))
    folders = [
        {"input": tmp_path / name, "output": tmp_path / "out" / name, "settle_s": 0.1} | policy
        for name, policy in POLICIES.items()
    ]
    result = once("--config", configured(tmp_path, networks.student, *folders), "--json")
    *lines, _ = map(json.loads, result.stdout.splitlines())
    ends: dict[str, dict[str, str]] = {}
    for line in lines:
        policy, name = line["input"].split("/")[-2:]
        ends.setdefault(name, {})[policy] = end_of(line, tmp_path / policy / name)
    assert {name: differing(end) for name, end in sorted(ends.items())} == RIGHT


def end_of(line: dict[str, Any], source: Path) -> str:
    """What a line says, which must be true of its source, too."""
    deletes, ended = "losses=" in source.parent.name, line["reason"] or line["outcome"]
    if ended == "would_lose":  # it leaves for the quarantine after `intake.quiet_s`
        assert source.exists()
    elif line["reason"] is None:
        assert source.exists() == (not deletes or line["warning"] is not None)
    if line["warning"] is None:
        return str(ended)
    assert line["losses"]
    assert all(loss in line["warning"] for loss in line["losses"])
    return "kept"


def differing(ends: dict[str, str]) -> dict[str, str]:
    """The end under the defaults, and those under other policies that differ."""
    assert set(ends) == set(POLICIES)
    usual = ends["defaults"]
    return {name: end for name, end in ends.items() if name == "defaults" or end != usual}
