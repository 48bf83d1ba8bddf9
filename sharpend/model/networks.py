"""Model architectures: student and teacher, one convolutional design in two sizes.

Both work on the sharp grid folded by four: `pixel_unshuffle(4) -> 3x3 convolutions with ReLU and
skips -> pixel_shuffle(4) -> + input`. Nothing in them looks further than its receptive field (no
global pooling, no normalisation over the image), which is what lets a tile equal the whole.

A bias-free model sees the image less its local mean, and its convolutions add nothing of their own:
what is flat stays flat, and a brighter image gets the same detail (Mohan et al. 2020,
arXiv:1906.05478, for denoisers).

A cued model gets the softness of the whole image (`sharpend.model.cues`): the cues scale its
features and set the gains of an adaptive mask beside it (`sharpend.model.conditioning`).
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

from sharpend.model.conditioning import (
    MASK_CELLS,
    AdaptiveMask,
    FeatureScales,
    calm_gate,
    calm_range,
)
from sharpend.model.cues import FOLD_PX, cues_of
from sharpend.model.folding import sum_of_nine
from sharpend.model.packing import Added

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    RunsTrunk = Callable[[Tensor, Sequence[Tensor]], Tensor]

GRID_PX = FOLD_PX
"""Side of the blocks folded into channels: the degradation's factor (ESPCN, arXiv:1609.05158)."""
_FOLDED = 3 * GRID_PX**2


class ResidualBlock(nn.Module):
    """conv - ReLU - conv with an identity skip and no ReLU after the sum (EDSR, arXiv:1707.02921).

    A ReLU after the sum can kill every feature within a few hundred steps of training.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)

    def forward(self, features: Tensor, scale: Tensor | None = None) -> Tensor:
        """Map B x C x H x W features to the same shape; `scale` (B x C x 1 x 1) what is added."""
        inner: Tensor = self.second(F.relu(self.first(features), inplace=True))
        return (inner if scale is None else inner * scale).add_(features)


class SharpeningNetwork(nn.Module):
    """Base class of students and teachers: maps an image to the same with detail added."""

    kind: ClassVar[str]

    def __init__(
        self, channels: int, blocks: int, *, bias_free: bool = False, cued: bool = False
    ) -> None:
        super().__init__()
        self.channels = channels
        self.blocks = blocks
        self.bias_free = bias_free
        self.cued = cued
        self.ranges: tuple[float, ...] = ()
        """Largest magnitudes that enter the convolutions, for int8: `Card.ranges`."""
        bias = not bias_free
        self.head = nn.Conv2d(_FOLDED, channels, 3, padding=1, bias=bias)
        self.body = nn.Sequential(*(ResidualBlock(channels, bias=bias) for _ in range(blocks)))
        self.tail = nn.Conv2d(channels, _FOLDED, 3, padding=1, bias=bias)
        if cued:
            self.scales = FeatureScales(channels, places=blocks + 2)
            self.mask = AdaptiveMask()
        self._start_near_identity()

    def _start_near_identity(self) -> None:
        """Initialise close to the identity; at exactly zero no gradient would flow back."""
        with torch.no_grad():
            for block in self.body:
                assert isinstance(block, ResidualBlock)  # noqa: S101 - tells the type checker
                block.second.weight.mul_(0.3)
            self.tail.weight.mul_(0.1)
            if self.tail.bias is not None:
                self.tail.bias.zero_()

    @property
    def halo_px(self) -> int:
        """Radius of the receptive field in pixels, a multiple of GRID_PX.

        Each 3x3 convolution reaches one cell of the folded grid further, and so does the local
        mean; all are sequential.
        """
        cells = self.bias_free + sum(
            (layer.kernel_size[0] - 1) // 2
            for layer in self.modules()
            if isinstance(layer, nn.Conv2d)
        )
        return max(cells, MASK_CELLS if self.cued else 0) * GRID_PX

    def set_precision(self, precision: torch.dtype) -> None:
        """Set the dtype of the convolutions; the conditioning stays float32."""
        for part in (self.head, self.body, self.tail):
            part.to(dtype=precision)

    def detail(self, picture: Tensor, measured: Tensor | None = None) -> Tensor:
        """Compute the detail that is added to the image, before strength and clamping.

        Args:
            picture: B x 3 x H x W, sRGB-encoded, in [0, 1]; H and W multiples of GRID_PX. The trunk
                runs in the dtype of the model's own weights.
            measured: B x MEASURED float32, the energies of the whole image that these pixels are of
                (`sharpend.model.cues`); needed by a cued model alone.

        Returns:
            B x 3 x H x W in the image's dtype, roughly in [-1, 1].

        Raises:
            ValueError: the model is cued and nothing was measured.
        """
        cues = self._cues(measured)
        folded = F.pixel_unshuffle(picture, GRID_PX)  # (B, 48, H/4, W/4)
        if self.bias_free:
            folded = less_local_mean(folded)
        folded = folded.to(self.head.weight.dtype, memory_format=torch.channels_last)
        # In the image's own layout: sums of two layouts take longer than the convolutions.
        trunk = self.trunk(folded, self._scales(cues)).to(picture.dtype)
        if cues is None or measured is None:
            return F.pixel_shuffle(trunk, GRID_PX).contiguous()
        detail = F.pixel_shuffle(trunk * calm_gate(picture, measured), GRID_PX).contiguous()
        return detail.add_(self.mask(picture, cues, measured))

    def added(self, folded: Tensor, measured: Tensor | None, run: RunsTrunk) -> Added:
        """Compute the same on the folded grid, of one image, for inference.

        Args:
            folded: 1 x 48 x H/4 x W/4 in the dtype that `run` takes, less its local mean where the
                model is bias-free; channels last.
            measured: as for `detail`.
            run: `trunk` of this model, in a runtime of choice.

        Raises:
            ValueError: as `detail`.
        """
        cues = self._cues(measured)
        trunk = run(folded, self._scales(cues))
        if cues is None or measured is None:
            return Added(trunk)
        gains, floor = self.mask.decide(cues, measured)
        return Added(trunk, tuple(gains[0].tolist()), float(floor), float(calm_range(measured)))

    def _cues(self, measured: Tensor | None) -> Tensor | None:
        """Cues of the measured energies, B x CUES; models without cues ignore them."""
        if not self.cued:
            return None
        if measured is None:
            raise ValueError("a cued model needs the measured energies of the whole image")
        return cues_of(measured)

    def _scales(self, cues: Tensor | None) -> Sequence[Tensor]:
        """Scales of the head, each block and the tail; none for a model without cues."""
        return () if cues is None else self.scales(cues)

    def trunk(self, folded: Tensor, scales: Sequence[Tensor]) -> Tensor:
        """Run the convolutions on the folded grid.

        Args:
            folded: B x 48 x H/4 x W/4 in the dtype of the weights.
            scales: B x C x 1 x 1 for the head, each block and the tail; none without cues.

        Returns:
            The same shape and dtype.
        """
        places: Sequence[Tensor | None] = scales or [None] * (self.blocks + 2)
        head, *of_blocks, tail = places
        features = shallow = _scaled(F.relu(self.head(folded), inplace=True), head)
        for block, scale in zip(self.body, of_blocks, strict=True):
            features = block(features, None if scale is None else scale.to(features.dtype))
        features = _scaled(shallow + features, tail)
        detail: Tensor = self.tail(features)
        return detail

    def forward(self, picture: Tensor, measured: Tensor | None = None) -> Tensor:
        """Sharpen: B x 3 x H x W in [0, 1] to the same shape, not clamped; see `detail`."""
        return picture + self.detail(picture, measured)


def _scaled(features: Tensor, scale: Tensor | None) -> Tensor:
    return features if scale is None else features * scale.to(features.dtype)


def less_local_mean(folded: Tensor) -> Tensor:
    """Subtract from each colour its mean over 3 x 3 cells (12 x 12 pixels), inside the image.

    Args:
        folded: B x 48 x H x W, as `pixel_unshuffle` leaves an image: 16 values of each colour.

    Returns:
        The same shape; zero where the surroundings are flat.
    """
    batch, channels, height, width = folded.shape
    cells = folded.reshape(batch, 3, channels // 3, height, width)
    # One by one: the order in which `mean` adds depends on the size, and would show in tiles.
    means = reduce(torch.add, cells.unbind(dim=2)) / GRID_PX**2  # (B, 3, H, W)
    around = sum_of_nine(means) / sum_of_nine(torch.ones_like(means[:1, :1]))
    return (cells - around.unsqueeze(2)).reshape(folded.shape)


class StudentNet(SharpeningNetwork):
    """The small model that the daemon runs: `lite` is 32 x 2 (65 K), `base` 48 x 4 (207 K)."""

    kind = "student"

    def __init__(
        self,
        channels: int = 32,
        blocks: int = 2,
        *,
        bias_free: bool = False,
        cued: bool = False,
    ) -> None:
        super().__init__(channels, blocks, bias_free=bias_free, cued=cued)


class TeacherNet(SharpeningNetwork):
    """The large model that students are distilled from: 96 channels and 6 blocks are 1.08 M."""

    kind = "teacher"

    def __init__(
        self,
        channels: int = 96,
        blocks: int = 6,
        *,
        bias_free: bool = False,
        cued: bool = False,
    ) -> None:
        super().__init__(channels, blocks, bias_free=bias_free, cued=cued)


NETWORKS: dict[str, type[StudentNet | TeacherNet]] = {
    network.kind: network for network in (StudentNet, TeacherNet)
}
