"""Shipped models: list their names, and find the file of a model setting, without torch."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CARD_KEY = "sharpend"
"""Key of a weights file's metadata: the card, as JSON."""
DIGEST_KEY = "sharpend.digest"
"""Key of a weights file's metadata: the digest of its tensors."""
SHIPPED = Path(__file__).parent.parent / "weights"


def shipped_names() -> list[str]:
    """List the names of the models inside the package, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find(model: str, *, beside: Path | None = None) -> Path:
    """Find the file of a shipped model's name or of a path.

    Args:
        model: the name or the path.
        beside: a folder that is searched first for `<name>.safetensors`: the teacher of a student
            that is not shipped is beside it.

    Raises:
        UnavailableError: neither; the text lists what is shipped.
    """
    if beside is not None and "/" not in model and (beside / f"{model}.safetensors").is_file():
        return beside / f"{model}.safetensors"
    shipped = SHIPPED / f"{model}.safetensors"
    if "/" not in model and shipped.is_file():
        return shipped
    if Path(model).is_file():
        return Path(model)
    raise UnavailableError(
        f"{model}: no such model; shipped models are {', '.join(shipped_names())}, "
        "or give the path of a .safetensors file"
    )


def recorded_digest(path: Path) -> str:
    """Return the digest that a weights file states of itself; a worker checks it at loading.

    Raises:
        UnavailableError: the file cannot be read, or is no weights file of sharpend.
    """
    with _metadata(path) as metadata:
        return str(metadata[DIGEST_KEY])


def recorded_teacher(model: str) -> str:
    """Return the teacher that a model's card names; its file is there.

    Args:
        model: name or path.

    Raises:
        UnavailableError: the model is missing or not sharpend's, its card names no teacher, or that
            is missing.
    """
    path = find(model)
    with _metadata(path) as metadata:
        teacher = json.loads(metadata[CARD_KEY]).get("teacher")
    if teacher is None:
        raise UnavailableError(f"{model}: its card names no teacher")
    try:
        find(str(teacher), beside=path.parent)
    except UnavailableError as error:
        raise UnavailableError(f"{model}: its teacher {error}") from error
    return str(teacher)


def has_ranges(model: str) -> bool:
    """Return whether the cards of a model and of its specialist have ranges for int8.

    Args:
        model: name or path.

    Raises:
        UnavailableError: one of them is missing or not sharpend's.
    """
    path = find(model)
    with _metadata(path) as metadata:
        card = json.loads(metadata[CARD_KEY])
    specialist = card.get("specialist")
    ranged = bool(card.get("ranges"))
    return ranged and (specialist is None or has_ranges(str(find(specialist, beside=path.parent))))


@contextmanager
def _metadata(path: Path) -> Iterator[Mapping[str, str]]:
    """Read the metadata of a weights file; UnavailableError if the block finds it is not ours.

    Source: the header of the safetensors format, a length of 8 bytes and JSON.
    """
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        yield header["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise UnavailableError(f"model.name: {path}: not a sharpend weights file") from error
