"""Rewrite the cards of existing weights: the tensors stay the same.

Reads from the model card what the weights file lacks: names of data sets and the curve of the run.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError, UnavailableError
from sharpend.files.atomic import write_atomically
from sharpend.model import weights
from trainer.publishing.model_card import model_card
from trainer.training.record import Record

if TYPE_CHECKING:
    from pathlib import Path

    from sharpend.model.weights import Card, Weights

_CURVE = "## Curve"


def rewrite(path: Path, card: Card) -> Weights:
    """Write another card into a weights file, and update the `.md` file beside it.

    Args:
        path: NAME.safetensors; NAME.md is beside it.
        card: describes the same tensors.

    Raises:
        InputMissingError: there is no model card beside it.
        UnavailableError: it is no weights file, or verification failed: the written tensors differ.
    """
    page = path.with_suffix(".md")
    if not page.is_file():
        raise InputMissingError(f"{page}: no such file")
    loaded = weights.load(str(path))
    weights.save_network(path, loaded.network, card)
    written = weights.load(str(path))
    if written.digest != loaded.digest:
        raise UnavailableError(f"{path}: verification failed: the written tensors differ")
    text = renewed_card(page.read_text(), written, hashlib.sha256(path.read_bytes()).hexdigest())
    write_atomically(page, text.encode())
    return written


def renewed_card(text: str, written: Weights, sha256: str) -> str:
    """Write the model card again, with the data sets and the curve of `text`.

    Args:
        text: the existing model card.
        written: the weights.
        sha256: of the weights file, hexadecimal.
    """
    front = text.split("\n---\n", 1)[0]
    datasets = [json.loads(name) for name in re.findall(r"^- (\".*\")$", front, re.MULTILINE)]
    return model_card(written, datasets, sha256, _record(text, written.card.name))


def _record(text: str, name: str) -> Record:
    """Parse the table of the curve into a record."""
    section = text.split(_CURVE, 1)[1].split("\n## ", 1)[0]
    header, _, *rows = [line for line in section.splitlines() if line.startswith("|")]
    keys = _cells(header)
    return Record(
        name, tuple(dict(zip(keys, map(_number, _cells(row)), strict=True)) for row in rows)
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _number(cell: str) -> float:
    return int(cell) if cell.isdigit() else float(cell)
