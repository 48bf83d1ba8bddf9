"""Origin of a run: images, labels, initial weights and commit, recorded once in its folder.

A resumed run must use the same images and labels. The origin becomes part of the card.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpend.errors import UsageError
from sharpend.files.atomic import replacing
from sharpend.model import weights
from trainer.training.checkpoint import start_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trainer.training.split import Split

ORIGIN = "origin.json"
_MUST_STAY = ("split", "pictures", "labels")


def note_origin(
    folder: Path,
    split: Split,
    labels: Mapping[str, str] | None,
    start: str,
    average: str = "",
) -> None:
    """Record the origin of a run, or check that a resumed run has the same.

    Args:
        folder: of the run; made if missing.
        split: the images.
        labels: teacher of the labels, or None without labels.
        start: the initial weights, or empty.
        average: the model whose mean with `start` they are, or empty.

    Raises:
        UsageError: the run was started with other images or labels.
        UnavailableError: the initial weights cannot be loaded.
    """
    described: dict[str, Any] = {
        "split": split.fingerprint,
        "pictures": {"train": len(split.train), "validation": len(split.validation)},
        "labels": dict(labels) if labels else None,
    }
    noted = read_origin(folder)
    if noted is None:
        began = _named(start) if start else None
        if began and average:
            began["averaged_with"] = _named(average)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / ORIGIN) as file:
            file.write(json.dumps({**described, "start": began, "commit": commit()}).encode())
    elif any(noted[key] != described[key] for key in _MUST_STAY):
        raise UsageError(
            f"{folder} was started with other images or labels; use a new --run folder"
        )


def _named(model: str) -> dict[str, Any]:
    return {"name": model, "digest": weights.digest(start_tensors(model))}


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Read the origin of a run; None if there is none."""
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
