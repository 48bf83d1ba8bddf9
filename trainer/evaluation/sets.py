"""Sets of sharp originals for evaluation, and their softening.

A set is a folder of originals, a folder of pairs, or a split. The small images of a pair are used
where they exist, as in the x4 benchmarks, so that scores are comparable with the literature.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sharpend.errors import InputMissingError, UsageError
from sharpend.imaging.filters import resize
from trainer.degradations.reduction import SOFTENED_BY, softened
from trainer.evaluation.scores import SMALLEST_PX
from trainer.training.dataset import read_image
from trainer.training.split import find_images, read_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainer.degradations.mixture import Pixels

LARGE, SMALL = "_HR", "_LR"


@dataclass(frozen=True, slots=True)
class Member:
    """One image of a set.

    Attributes:
        original: the sharp image's file.
        small: the file of the same at a quarter of each side; None makes it from the original.
    """

    original: Path
    small: Path | None = None


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """A named set of images.

    Attributes:
        name: title of its table, part of the name of its contact sheet.
        members: at least one.
        paired: whether small images were given.
    """

    name: str
    members: tuple[Member, ...]
    paired: bool


@dataclass(frozen=True, slots=True)
class Softened:
    """One softened image in memory, all H x W x 3 uint8.

    Attributes:
        small: at a quarter of each side.
        degraded: the small one at the original's size.
        original: the sharp one.
    """

    small: Pixels
    degraded: Pixels
    original: Pixels


def split_name(text: str) -> tuple[str, str]:
    """NAME=VALUE as (name, value); without a name, or where the whole is a path, ("", text)."""
    name, equals, value = text.partition("=")
    return (name, value) if equals and name and "/" not in name else ("", text)


def open_set(text: str) -> EvaluationSet:
    """Find the images of a set, without reading them.

    Args:
        text: NAME=PLACE or PLACE alone, which is then the name. A place is a folder of sharp
            originals, a folder of `*_HR` and `*_LR` pairs, or a split by `trainer prepare`, of
            which the validation side is used.

    Raises:
        InputMissingError: the place, or one image of a pair, is missing, or it is empty.
        UsageError: it is a file and no split, or images are mixed with pairs.
    """
    name, place = split_name(text)
    path = Path(place)
    members = _members(path)
    if not members:
        raise InputMissingError(f"{place}: contains no images")
    own_name = path.stem if path.is_file() else path.resolve().name
    return EvaluationSet(name or own_name, tuple(members), members[0].small is not None)


def open_sets(places: Sequence[str]) -> list[EvaluationSet]:
    """Find the images of several sets, as `open_set`; raises UsageError for two of one name."""
    sets = [open_set(place) for place in places]
    names = [one.name for one in sets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--set: two sets are named {name}; give NAME=PLACE")
    return sets


def _members(place: Path) -> list[Member]:
    if place.is_file():
        return [Member(image) for image in read_split(place).validation]
    images = find_images([place])
    pairs = {path.stem.removesuffix(SMALL): path for path in images if path.stem.endswith(SMALL)}
    if not pairs:
        return [Member(path) for path in images]
    large = [path for path in images if not path.stem.endswith(SMALL)]
    members = [Member(path, pairs.pop(path.stem.removesuffix(LARGE), None)) for path in large]
    alone = [member.original for member in members if member.small is None] + [*pairs.values()]
    if alone:
        raise InputMissingError(f"{alone[0]}: the other image of the pair is missing")
    return members


def read_member(member: Member) -> Softened:
    """Read an image and soften it, or take its small one.

    An original that is up to three pixels larger than four times its small one loses those at the
    right and at the bottom, as the x4 benchmarks cut them.

    Raises:
        InputMissingError, ImageRefusedError: an image cannot be read.
        UsageError: it is too small to be scored, or the two of a pair do not fit.
    """
    original = read_image(member.original)
    if min(original.shape[:2]) < SMALLEST_PX:
        raise UsageError(f"{member.original}: a side is shorter than {SMALLEST_PX} pixels")
    if member.small is None:
        return Softened(*softened(original), original)
    small = read_image(member.small)
    height, width = (SOFTENED_BY * side for side in small.shape[:2])
    cut = original[:height, :width]
    over = (original.shape[0] - height, original.shape[1] - width)
    if cut.shape[:2] != (height, width) or max(over) >= SOFTENED_BY:
        raise UsageError(f"{member.small}: is not a quarter of {member.original}")
    return Softened(small, resize(small, height=height, width=width), cut)


def pair_outputs(outputs: Path, originals: Path) -> list[tuple[Path, Path]]:
    """Each output with the original of its relative path; the suffix may differ.

    Raises:
        InputMissingError: a folder or an original is missing, or there are no outputs.
        UsageError: several originals fit and none has the very name.
    """
    candidates: dict[Path, list[Path]] = {}
    for path in find_images([originals]):
        relative = path.relative_to(originals.resolve()).with_suffix("")
        candidates.setdefault(relative, []).append(path)
    pairs = []
    for output in find_images([outputs]):
        relative = output.relative_to(outputs.resolve())
        fitting = candidates.get(relative.with_suffix(""), [])
        pairs.append((output, _the_one(relative, fitting, originals)))
    if not pairs:
        raise InputMissingError(f"{outputs}: contains no images")
    return pairs


def _the_one(relative: Path, fitting: Sequence[Path], originals: Path) -> Path:
    exact = [path for path in fitting if path.name == relative.name]
    if not fitting:
        raise InputMissingError(f"{originals}: has no original of {relative}")
    if len(exact or fitting) > 1:
        raise UsageError(f"{originals}: has several originals of {relative}")
    return (exact or fitting)[0]
