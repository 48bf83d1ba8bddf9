"""Labels: the outputs of a teacher for every original, stored on disk.

Owns the label folder: one 8-bit PNG for each image, all by one teacher, named in labels.json.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sharpend.errors import UsageError
from sharpend.files.atomic import replacing
from trainer.degradations.reduction import softened
from trainer.training.dataset import label_path, read_image, write_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from trainer.training.models import Model

LABELS_CARD = "labels.json"


def label(images: Iterable[Path], teacher: Model, labels: Path) -> Iterator[Path]:
    """Write the output of the teacher for each original as `<labels>/<image name>.png`.

    Labels that exist are kept, so an interrupted labelling resumes; files are written atomically.

    Args:
        images: the originals.
        teacher: the model.
        labels: the folder; made if missing.

    Yields:
        Each label as it is written; nothing for existing ones.

    Raises:
        UsageError: the folder holds another teacher's labels.
        InputMissingError: an image is missing.
        ImageRefusedError: an image cannot be read.
    """
    labels.mkdir(parents=True, exist_ok=True)
    _claim(labels, teacher)
    for image in images:
        target = label_path(labels, image)
        if target.exists():
            continue
        original = read_image(image)
        write_image(teacher.sharpen(*softened(original)), target)
        yield target


def _claim(labels: Path, teacher: Model) -> None:
    """Write the teacher into the folder, or check it."""
    card = labels_card(labels)
    if card is None:
        described = {"teacher": teacher.name, "digest": teacher.digest}
        with replacing(labels / LABELS_CARD) as file:
            file.write(json.dumps(described).encode())
    elif card["digest"] != teacher.digest:
        raise UsageError(
            f"{labels} contains labels by {card['teacher']} ({card['digest'][:12]}), not by "
            f"{teacher.name} ({teacher.digest[:12]}); use a new --labels folder"
        )


def labels_card(labels: Path) -> dict[str, str] | None:
    """Read the teacher of a folder: {"teacher", "digest"}, or None if not recorded."""
    path = labels / LABELS_CARD
    if not path.is_file():
        return None
    card: dict[str, str] = json.loads(path.read_text())
    return card
