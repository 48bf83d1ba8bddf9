"""A study: its conditions, contents, stimuli and trials, as one JSON file in its folder.

Owns `study.json` and the names of the files beside it. The digest of that file is in every record
of votes, so that rules and stimuli cannot be changed once people have voted.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sharpend.errors import InputMissingError, UsageError
from sharpend.files.atomic import write_atomically
from trainer.evaluation.mos.protocol import ScreeningRules

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = 1
STUDY, VOTES, CROPS = "study.json", "votes.jsonl", "crops"
ORIGINAL, DEGRADED = "original", "degraded"
"""Conditions: the hidden reference, and the image that models are given."""


@dataclass(frozen=True, slots=True)
class Content:
    """One image with one kind of softness.

    Attributes:
        image: name of the file.
        kind: of softness.
        sha256: of the file.
        top: first row of the crop, in pixels of the image.
        left: first column.
        training: shown in training trials only.
    """

    image: str
    kind: str
    sha256: str
    top: int
    left: int
    training: bool = False


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One crop that is shown.

    Attributes:
        content: its place in the study's contents.
        condition: its name.
        width: in pixels.
        height: in pixels.
        sha256: of the PNG file.
    """

    content: int
    condition: str
    width: int
    height: int
    sha256: str


@dataclass(frozen=True)
class Study:
    """A study, as prepared.

    Attributes:
        title: shown to raters.
        contact: shown to raters: who runs the study, and how to reach them.
        seed: of ids and orders.
        conditions: facts about each, such as the digest of its model, by name.
        contents: in the order of the images.
        stimuli: by opaque id, which names the file.
        acr: ids, one a trial.
        ccr: pairs of ids, one a trial; a pair of one id twice is a control.
        training: ids and pairs of the training trials, in order: one id is ACR.
        rules: by which raters are screened.
    """

    title: str
    contact: str
    seed: int
    conditions: Mapping[str, Mapping[str, object]]
    contents: tuple[Content, ...]
    stimuli: Mapping[str, Stimulus]
    acr: tuple[str, ...]
    ccr: tuple[tuple[str, str], ...]
    training: tuple[tuple[str, ...], ...]
    rules: ScreeningRules = field(default_factory=ScreeningRules)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the study as it is written."""
        return hashlib.sha256(self.as_json()).hexdigest()

    @property
    def trials(self) -> int:
        """Trials of a rater that count."""
        return len(self.acr) + len(self.ccr)

    def as_json(self) -> bytes:
        """Write everything as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode()


def write_study(study: Study, folder: Path) -> None:
    """Write `study.json`, atomically."""
    write_atomically(folder / STUDY, study.as_json())


def read_study(folder: Path) -> Study:
    """Read a study.

    Raises:
        InputMissingError: the folder contains no study.
        UsageError: its file is something else, or of another version.
    """
    path = folder / STUDY
    try:
        content = path.read_bytes()
        study = _study(json.loads(content))
    except (FileNotFoundError, NotADirectoryError) as error:
        text = f"{folder}: contains no {STUDY}: run `trainer mos prepare`"
        raise InputMissingError(text) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not a study of `trainer mos prepare` ({error!r})") from error
    if study.as_json() != content:
        raise UsageError(f"{path}: was changed after `trainer mos prepare`")
    return study


def _study(fields: dict[str, Any]) -> Study:
    if fields.pop("format") != FORMAT:
        raise ValueError("another format")
    return Study(
        title=fields.pop("title"),
        contact=fields.pop("contact"),
        seed=fields.pop("seed"),
        conditions=fields.pop("conditions"),
        contents=tuple(Content(**one) for one in fields.pop("contents")),
        stimuli={name: Stimulus(**one) for name, one in fields.pop("stimuli").items()},
        acr=tuple(fields.pop("acr")),
        ccr=tuple((first, second) for first, second in fields.pop("ccr")),
        training=tuple(tuple(ids) for ids in fields.pop("training")),
        rules=ScreeningRules(**fields.pop("rules")),
    )


def crop_path(folder: Path, stimulus: str) -> Path:
    """Path of a stimulus, which must be an id of the study."""
    return folder / CROPS / f"{stimulus}.png"


def check_crops(study: Study, folder: Path) -> None:
    """Check that every crop is the one that was prepared.

    Raises:
        InputMissingError: one is missing.
        UsageError: one has other bytes.
    """
    for name, stimulus in study.stimuli.items():
        path = crop_path(folder, name)
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError as error:
            raise InputMissingError(f"{path}: is missing; prepare the study anew") from error
        if found != stimulus.sha256:
            raise UsageError(f"{path}: was changed after `trainer mos prepare`")
