"""Images that are exactly enlarged by four go to the model that a card names for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from skimage import data

from sharpend.errors import UnavailableError
from sharpend.imaging.filters import degrade
from sharpend.model import weights
from sharpend.model.device import Placement
from sharpend.model.measuring import measure
from sharpend.model.networks import StudentNet
from sharpend.model.sharpener import Sharpener
from sharpend.model.weights import Card, digest, save_network

if TYPE_CHECKING:
    from pathlib import Path

CPU = Placement("cpu", "float32", threads=1)


def described(name: str, network: StudentNet) -> Card:
    """A card without more than it needs."""
    return Card(
        name,
        "student",
        network.channels,
        network.blocks,
        network.halo_px,
        bias_free=network.bias_free,
        cued=network.cued,
    )


@pytest.fixture(name="pair")
def general_and_specialist(tmp_path: Path) -> Path:
    """The file of a general model, its specialist lying beside it."""
    torch.manual_seed(0)
    general, specialist = StudentNet(8, 1, bias_free=True, cued=True), StudentNet(8, 2)
    save_network(tmp_path / "four.safetensors", specialist, described("four", specialist))
    card = replace(
        described("general", general),
        specialist="four",
        specialist_digest=digest(specialist.state_dict()),
    )
    save_network(tmp_path / "general.safetensors", general, card)
    return tmp_path / "general.safetensors"


def test_an_enlarged_image_is_the_specialist_s(pair: Path) -> None:
    """To the bit, at 8 and 16 bits; any other image is the general model's."""
    both = Sharpener(weights.load(str(pair)), CPU)
    alone = Sharpener(weights.load(str(pair.with_name("four.safetensors"))), CPU)
    original = data.astronaut()[:160, 150:350]  # type: ignore[no-untyped-call]
    enlarged = degrade(np.ascontiguousarray(original))
    assert both.measured(enlarged).enlarged
    assert np.array_equal(both.sharpen(enlarged), alone.sharpen(enlarged))
    deep = enlarged.astype(np.uint16) * 257
    assert np.array_equal(both.sharpen(deep), alone.sharpen(deep))
    assert not np.array_equal(both.sharpen(original), alone.sharpen(original))


def test_a_part_of_an_image_follows_the_whole(pair: Path) -> None:
    """Cues given with a crop decide, as for the crop that the teacher sees."""
    both = Sharpener(weights.load(str(pair)), CPU)
    alone = Sharpener(weights.load(str(pair.with_name("four.safetensors"))), CPU)
    original = data.astronaut()[:160, 150:350]  # type: ignore[no-untyped-call]
    whole = both.measured(degrade(np.ascontiguousarray(original)))
    crop = np.ascontiguousarray(original[10:90, 30:130])
    assert np.array_equal(both.sharpen(crop, cues=whole), alone.sharpen(crop))


def test_only_a_model_with_a_specialist_tests_for_enlargement(pair: Path) -> None:
    """The costly test is left out for others, and made up for where a teacher needs its answer."""
    both = Sharpener(weights.load(str(pair)), CPU)
    alone = Sharpener(weights.load(str(pair.with_name("four.safetensors"))), CPU)
    original = np.ascontiguousarray(data.astronaut()[:160, 150:350])  # type: ignore[no-untyped-call]
    enlarged = degrade(original)
    cues = alone.measured(enlarged)
    assert (cues, cues.enlarged) == (measure(enlarged), None)
    assert both.measured(enlarged, cues=cues) == both.measured(enlarged)
    assert both.measured(enlarged).enlarged is True
    assert both.measured(original).enlarged is False


def test_the_halo_serves_both(pair: Path) -> None:
    """Crops around a place are cut for the model that looks further."""
    both = Sharpener(weights.load(str(pair)), CPU)
    alone = Sharpener(weights.load(str(pair.with_name("four.safetensors"))), CPU)
    assert both.halo_px >= max(alone.halo_px, both.runtime.halo_px)


def test_another_specialist_is_refused(pair: Path) -> None:
    """A file of that name with other tensors is not what the card was measured with."""
    other = StudentNet(8, 2)
    save_network(pair.with_name("four.safetensors"), other, described("four", other))
    with pytest.raises(UnavailableError, match="its specialist four is a different one"):
        weights.load(str(pair))
    pair.with_name("four.safetensors").unlink()
    with pytest.raises(UnavailableError, match="four: no such model"):
        weights.load(str(pair))


@pytest.mark.parametrize("names", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c"}])
def test_a_specialist_has_no_specialist(tmp_path: Path, names: dict[str, str]) -> None:
    """A card that leads to itself, or to a chain of models, is refused when it is loaded."""
    network = StudentNet(8, 1, bias_free=True, cued=True)
    for name in ("a", "b", "c"):
        card = replace(
            described(name, network),
            specialist=names.get(name),
            specialist_digest=digest(network.state_dict()),
        )
        save_network(tmp_path / f"{name}.safetensors", network, card)
    with pytest.raises(UnavailableError, match=r"a: its specialist . names a specialist itself; "):
        weights.load(str(tmp_path / "a.safetensors"))
