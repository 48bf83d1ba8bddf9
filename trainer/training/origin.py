"""What a run began with: pictures, labels, weights and code, noted in its folder once.

Keeps a resumed run on the pictures it began with, and tells the weights' card what made them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpend.atomic import replacing
from sharpend.errors import UsageError
from sharpend.model import weights
from trainer.training.checkpoint import start_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.training.split import Split

ORIGIN = "origin.json"
_MUST_STAY = ("split", "pictures", "labels")


def note_origin(folder: Path, split: Split, labels: Mapping[str, str] | None, start: str) -> None:
    """Note what a run begins with, or check that it still trains on the same.

    Args:
        folder: of the run; made if missing.
        split: the pictures.
        labels: which teacher made the labels, or None without labels.
        start: the weights that it begins with, or nothing.

    Raises:
        UsageError: the run began with other pictures or labels.
        UnavailableError: the weights to begin with cannot be loaded.
    """
    described: dict[str, Any] = {
        "split": split.fingerprint,
        "pictures": {"train": len(split.train), "validation": len(split.validation)},
        "labels": dict(labels) if labels else None,
    }
    noted = read_origin(folder)
    if noted is None:
        digest = weights.digest(start_tensors(start)) if start else ""
        began = {"name": start, "digest": digest} if start else None
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / ORIGIN) as file:
            file.write(json.dumps({**described, "start": began, "commit": commit()}).encode())
    elif any(noted[key] != described[key] for key in _MUST_STAY):
        raise UsageError(f"{folder} began with other pictures or labels; use a fresh --run folder")


def read_origin(folder: Path) -> dict[str, Any] | None:
    """What `note_origin` noted, or None where it never did."""
    path = folder / ORIGIN
    if not path.is_file():
        return None
    noted: dict[str, Any] = json.loads(path.read_text())
    return noted


def commit() -> str:
    """The commit of the checkout that this package runs from, `-dirty` if changed, or `unknown`."""
    root = Path(__file__).parents[2]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return "unknown"
    asked = subprocess.run(
        [git, "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip() or "unknown"
