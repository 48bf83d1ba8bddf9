"""Weights files: safetensors with a card in the metadata; no pickle is ever read.

Owns the digest by which a student names its teacher. Refuses files whose card does not describe the
tensors inside, or whose tensors are no longer those that were written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sharpend.errors import UnavailableError
from sharpend.files.atomic import write_atomically
from sharpend.model.networks import NETWORKS, SharpeningNetwork
from sharpend.model.shipped import CARD_KEY, DIGEST_KEY, find

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

REDUCTION = "bicubic"
"""The degradation of models that undo one factor of reduction."""


@dataclass(frozen=True, slots=True)
class Card:
    """Metadata of a weights file."""

    name: str
    kind: str
    """`student` or `teacher`: a key of NETWORKS."""
    channels: int
    blocks: int
    halo_px: int
    bias_free: bool = False
    cued: bool = False
    """True if the model takes the softness of the image as input; see `sharpend.model.cues`."""
    degradation: str = REDUCTION
    """The mixture of degradations that these weights undo; see `trainer.degradations`."""
    softened_by: int = 4
    """The factor of bicubic reduction that validated these weights, where that is the mixture."""
    specialist: str | None = None
    """The model that does the work on images that are exactly enlarged by four."""
    specialist_digest: str | None = None
    teacher: str | None = None
    teacher_digest: str | None = None
    alarm_below: float | None = None
    """Agreement on validation crops that a healthy student does not fall below."""
    residual_above: float | None = None
    """Pooled residual ratio that no window of a healthy student's validation crops gets above."""
    measurable_from: float | None = None
    """Least that the teacher must add to a crop to enter that ratio, in multiples of the input's
    own finest detail."""
    ranges: Sequence[float] = ()
    """Largest magnitudes that enter the convolutions, in their order, by crops of the training
    images; int8 spreads its steps over them and clips what is larger. Without those of the first
    and the last convolution, these two stay in bfloat16."""
    data: str = ""
    license: str = ""
    commit: str = ""
    recipe: Mapping[str, object] = field(default_factory=dict)
    scores: Mapping[str, object] = field(default_factory=dict)

    @property
    def undoes_factor(self) -> int | None:
        """The factor of bicubic reduction that the model undoes; None: it undoes any softness."""
        return self.softened_by if self.degradation == REDUCTION else None

    @property
    def healthy_ratios(self) -> dict[str, float]:
        """Residual ratio on validation crops by kind of softness; empty where it is not known."""
        found: Any = self.scores.get("agreement") or {}
        return dict(found.get("residual", {}).get("healthy_median", {}))


@dataclass(frozen=True, slots=True)
class Weights:
    """A model ready for inference with its card and the digest of its tensors."""

    network: SharpeningNetwork
    card: Card
    digest: str
    specialist: SharpeningNetwork | None = None
    """The model of the card's specialist."""

    @property
    def ranges(self) -> tuple[tuple[float, ...], ...]:
        """Ranges of the model's convolutions, and of its specialist's; see `Card.ranges`."""
        models = (self.network, self.specialist)
        return tuple(one.ranges for one in models if one is not None)

    @property
    def has_ranges(self) -> bool:
        """True if both can run in int8."""
        return all(self.ranges)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and raw float32 bytes, so that editing a card changes nothing."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].detach().cpu().float().contiguous().numpy().tobytes())
    return sha.hexdigest()


def load(model: str, *, beside: Path | None = None) -> Weights:
    """Load a model by name or path, float32 on the CPU, in inference mode.

    Args:
        model: a shipped model's name, or the path of a weights file.
        beside: where a model is looked for first, by name.

    Raises:
        UnavailableError: the file or that of its specialist is missing, damaged or not sharpend's,
            or the specialist names a specialist, too.
    """
    path = find(model, beside=beside)
    loaded = _read(path)
    return replace(loaded, specialist=_specialist(loaded.card, path.parent))


def _read(path: Path) -> Weights:
    """Read one file, without what its card refers to."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            described = json.loads(metadata[CARD_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
        card = Card(**{**described, "ranges": tuple(described.get("ranges", ()))})
        network = NETWORKS[card.kind](
            card.channels, card.blocks, bias_free=card.bias_free, cued=card.cued
        )
        network.load_state_dict(tensors)
        found = _checked(card, network, tensors, metadata[DIGEST_KEY])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UnavailableError(
            f"model.name: {path}: not a sharpend weights file ({error}); "
            "export one with `trainer export`"
        ) from error
    network.eval().requires_grad_(requires_grad=False)
    network.ranges = tuple(card.ranges)
    return Weights(network, card, found)


def _specialist(card: Card, folder: Path) -> SharpeningNetwork | None:
    """Load the model that the card names for enlarged images; it is looked for beside it first."""
    if card.specialist is None:
        return None
    loaded = _read(find(card.specialist, beside=folder))
    if loaded.card.specialist is not None:  # its own name would recurse for ever
        raise UnavailableError(
            f"model.name: {card.name}: its specialist {card.specialist} names a specialist itself; "
            "export that one without --specialist"
        )
    if loaded.digest != card.specialist_digest:
        raise UnavailableError(
            f"model.name: {card.name}: its specialist {card.specialist} is a different one "
            f"({loaded.digest[:12]}) than at training ({(card.specialist_digest or '')[:12]})"
        )
    return loaded.network


def _checked(
    card: Card, network: SharpeningNetwork, tensors: Mapping[str, Tensor], written: str
) -> str:
    """Verify the digest of the tensors, which safetensors itself does not protect."""
    found = digest(tensors)
    if found != written:
        raise ValueError("its tensors are damaged")
    if len(card.ranges) not in {0, 2 * network.blocks, 2 * network.blocks + 2} or not all(
        r > 0 for r in card.ranges
    ):
        raise ValueError("the ranges on its card are not those of its convolutions")
    if card.halo_px != network.halo_px:
        raise ValueError(f"its card claims a halo of {card.halo_px}, not {network.halo_px}")
    return found


def save_network(path: Path, network: SharpeningNetwork, card: Card) -> None:
    """Write a model and its card as one whole file."""
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    metadata = {
        CARD_KEY: json.dumps(asdict(card), sort_keys=True),
        DIGEST_KEY: digest(tensors),
    }
    write_atomically(path, save(tensors, metadata))
