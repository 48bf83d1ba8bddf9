"""Labels: a teacher's picture of every original, made once and kept on disk.

Owns the label folder: one 8-bit PNG for each picture, all by one teacher, whose name lies beside.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sharpend.atomic import replacing
from sharpend.errors import UsageError
from trainer.degradations.report import softened
from trainer.training.dataset import label_path, read_picture, write_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from trainer.training.models import Model

LABELS_CARD = "labels.json"


def label(pictures: Iterable[Path], teacher: Model, labels: Path) -> Iterator[Path]:
    """Write the teacher's picture of each original as `<labels>/<picture name>.png`.

    Labels that exist are kept, so an interrupted labelling continues; each appears whole.

    Args:
        pictures: the originals.
        teacher: who labels.
        labels: the folder; made if missing.

    Yields:
        Each label as it is written; nothing for those that were there.

    Raises:
        UsageError: the folder holds another teacher's labels.
        InputMissingError: a picture is missing.
        ImageRefusedError: a picture cannot be read.
    """
    labels.mkdir(parents=True, exist_ok=True)
    _claim(labels, teacher)
    for picture in pictures:
        target = label_path(labels, picture)
        if target.exists():
            continue
        original = read_picture(picture)
        write_picture(teacher.sharpen(*softened(original)), target)
        yield target


def _claim(labels: Path, teacher: Model) -> None:
    """Note in the folder whose labels these are."""
    card = labels_card(labels)
    if card is None:
        described = {"teacher": teacher.name, "digest": teacher.digest}
        with replacing(labels / LABELS_CARD) as file:
            file.write(json.dumps(described).encode())
    elif card["digest"] != teacher.digest:
        raise UsageError(
            f"{labels} holds labels by {card['teacher']} ({card['digest'][:12]}), not by "
            f"{teacher.name} ({teacher.digest[:12]}); use a fresh --labels folder"
        )


def labels_card(labels: Path) -> dict[str, str] | None:
    """Which teacher made the labels of a folder: {"teacher", "digest"}, or None if not noted."""
    path = labels / LABELS_CARD
    if not path.is_file():
        return None
    card: dict[str, str] = json.loads(path.read_text())
    return card
