"""Images for training: files, the report's dataset, and examples in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.utils.data import Dataset

from sharpend.errors import ImageRefusedError, InputMissingError, UsageError
from sharpend.files.atomic import replacing
from sharpend.imaging.codec import encode
from sharpend.imaging.files import load_rgb
from sharpend.imaging.picture import Picture
from sharpend.imaging.tensors import to_tensor
from trainer.degradations.reduction import SOFTENED_BY, get_transform

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from trainer.degradations.mixture import Pixels
    from trainer.degradations.reduction import Transform


def read_image(path: Path) -> Pixels:
    """Read an image as H x W x 3 uint8.

    Raises:
        InputMissingError: there is no such file.
        ImageRefusedError: it is not an image; the text names the file.
    """
    try:
        return load_rgb(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputMissingError(f"{path}: {error.strerror}") from error
    except ImageRefusedError as error:
        raise ImageRefusedError(error.reason, f"{path}: {error}") from error


def write_image(pixels: Pixels, path: Path) -> None:
    """Write H x W x 3 uint8 as PNG, atomically."""
    with replacing(path) as file:
        encode(Picture.still(pixels), file)


class ImageDataset(Dataset["tuple[Tensor, Tensor]"]):
    """The report's dataset: item i is (degraded, original), each 3 x H x W float32 in [0, 1].

    Args:
        images: files to read.
        transform: original pixels (H x W x 3 uint8) to (degraded, original) pixels; the default
            degrades by four at the image's own size. See `degradations.reduction.get_transform`.
    """

    def __init__(self, images: Sequence[Path], transform: Transform | None = None) -> None:
        self.images = list(images)
        self.transform = transform or get_transform()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        degraded, original = self.transform(read_image(self.images[index]))
        return to_tensor(degraded)[0], to_tensor(original)[0]


@dataclass(frozen=True, slots=True)
class Example:
    """One image, three times H x W x 3 uint8; `taught` is None before labelling."""

    degraded: Pixels
    target: Pixels
    taught: Pixels | None
    measured: NDArray[np.float32] | None = None
    """Energies of the whole degraded image (`sharpend.model.cues`), for networks with cues."""
    kind: str = ""
    """Kind of softness, where a mixture drew it."""

    def layers(self) -> list[Pixels]:
        """Degraded, target and, if labelled, taught."""
        return [layer for layer in (self.degraded, self.target, self.taught) if layer is not None]


def read_examples(
    images: Sequence[Path], labels: Path | None, *, factor: int = SOFTENED_BY
) -> list[Example]:
    """Read and degrade every image once; labels are `<labels>/<image name>.png`.

    Raises:
        InputMissingError: an image or its label is missing.
        UsageError: a label is not of its image's size.
    """
    degraded_pair = get_transform(factor=factor)
    examples = []
    for path in images:
        degraded, target = degraded_pair(read_image(path))
        taught = None if labels is None else read_image(label_path(labels, path))
        if taught is not None and taught.shape != target.shape:
            raise UsageError(
                f"{path}: its label in {labels} has another size; delete and label again"
            )
        examples.append(Example(degraded, target, taught))
    return examples


def label_path(labels: Path, image: Path) -> Path:
    """Path of the label of an image."""
    return labels / f"{image.name}.png"
