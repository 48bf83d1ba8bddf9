"""SSIM and PSNR agree with scikit-image, and refuse what the library would get silently wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import pytorch_msssim
import torch
from skimage.measure import block_reduce
from skimage.metrics import structural_similarity

from sharpend.imaging.tensors import to_tensor
from sharpend.model import ssim
from sharpend.model.ssim import MS_SMALLEST_PX, WINDOW_PX, compute_ms_ssim, compute_ssim, psnr
from tests.conftest import psnr as in_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pair(height: int, width: int, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth image and the same with noise, 1 x 3 x H x W in [0, 1]."""
    chance = torch.Generator().manual_seed(seed)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    smooth = 0.5 + 0.4 * torch.sin(rows / 5) * torch.cos(columns / 7)
    picture = smooth.expand(1, 3, -1, -1) * torch.tensor([1.0, 0.8, 0.6]).view(1, 3, 1, 1)
    noisy = picture + noise * torch.randn(picture.shape, generator=chance)
    return picture, noisy.clamp(0, 1)


def reference_ssim(output: torch.Tensor, target: torch.Tensor) -> float:
    """scikit-image's Gaussian SSIM of valid positions, mean over the channels."""
    margin = WINDOW_PX // 2
    values = []
    for ours, theirs in zip(output[0].double().numpy(), target[0].double().numpy(), strict=True):
        _, full = structural_similarity(  # type: ignore[no-untyped-call]
            ours,
            theirs,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        values.append(full[margin:-margin, margin:-margin].mean())
    return float(np.mean(values))


@pytest.mark.parametrize("noise", [0.002, 0.05, 0.3])
@pytest.mark.parametrize("size", [(32, 45), (11, 11)])
def test_ssim_is_that_of_scikit_image(size: tuple[int, int], noise: float) -> None:
    """The wrapper is Wang's SSIM with an 11 x 11 Gaussian window and data range 1."""
    output, target = pair(*size, noise)
    assert compute_ssim(output, target).item() == pytest.approx(
        reference_ssim(output, target), abs=2e-5
    )


def test_psnr_is_that_of_double_precision() -> None:
    """PSNR is in dB over all channels, data range 1."""
    output, target = pair(20, 30, 0.1)
    exact = in_numpy(target.double().numpy(), output.double().numpy(), data_range=1)
    assert psnr(output, target).item() == pytest.approx(exact, abs=1e-4)


def test_values_are_per_picture() -> None:
    """A batch gives one value for each image, equal to that of the image alone."""
    pairs = [pair(24, 24, noise) for noise in (0.0, 0.1)]
    outputs = torch.cat([output for output, _ in pairs])
    targets = torch.cat([target for _, target in pairs])
    alone = [compute_ssim(output, target).item() for output, target in pairs]
    assert compute_ssim(outputs, targets).tolist() == pytest.approx(alone, abs=1e-6)
    assert psnr(outputs, targets)[0].item() == float("inf")


def test_uint8_is_refused() -> None:
    """The library calls an image and its inverse equal in uint8; here it is a TypeError."""
    pixels = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    with pytest.raises(TypeError, match="floating point"):
        compute_ssim(pixels, 255 - pixels)
    with pytest.raises(TypeError, match="floating point"):
        compute_ssim(pixels.float() / 255, pixels)


@pytest.mark.parametrize(
    "other", [(1, 3, 20, 21), (1, 3, 10, 40)], ids=["shapes differ", "below the window"]
)
def test_shapes_that_mean_nothing_are_refused(other: tuple[int, ...]) -> None:
    """Different shapes, or a side below the window, raise instead of giving a number."""
    first = torch.zeros(other if min(other[-2:]) < WINDOW_PX else (1, 3, 20, 20))
    with pytest.raises(ValueError, match="equal shapes"):
        compute_ssim(first, torch.zeros(other))


def test_data_range_is_one() -> None:
    """Different images do not read 0.9999, as they do with the library's range of 255."""
    output, target = pair(32, 32, 0.5)
    assert compute_ssim(output, target).item() < 0.6


def test_bfloat16_and_autocast_change_nothing() -> None:
    """Low precision around the call, or of its inputs, never lifts SSIM above the truth."""
    flat = torch.full((1, 3, 48, 48), 0.5)
    noisy = flat + 0.002 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    truth = compute_ssim(noisy, flat).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_ssim(noisy, flat).item() == truth
    low = compute_ssim(noisy.bfloat16(), flat.bfloat16())
    assert low.dtype == torch.float32
    assert low.item() == compute_ssim(noisy.bfloat16().float(), flat).item() <= 1.0


def test_an_image_of_pixels_is_laid_out_as_the_filters_are_fast(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library gets channels last with the strides of a whole batch, also of a single image."""
    strides = []

    def noting(output: torch.Tensor, target: torch.Tensor, **options: Any) -> torch.Tensor:  # noqa: ANN401 - the library's own
        strides.extend([output.stride(), target.stride()])
        compared: torch.Tensor = pytorch_msssim.ssim(output, target, **options)
        return compared

    monkeypatch.setattr(ssim, "_ssim", noting)
    pixels = np.zeros((16, 20, 3), np.uint8)
    compute_ssim(to_tensor(pixels), to_tensor(pixels))
    assert strides == [(16 * 20 * 3, 1, 20 * 3, 3)] * 2


def test_ssim_as_a_loss_has_finite_gradients() -> None:
    """Gradients are finite for noise and at equality."""
    for noise in (0.0, 0.4):
        output, target = pair(24, 24, noise)
        output.requires_grad_()
        compute_ssim(output, target, nonnegative=True).sum().backward()  # type: ignore[no-untyped-call]
        assert output.grad is not None
        assert output.grad.isfinite().all()


def reference_scale(ours: NDArray[np.float64], theirs: NDArray[np.float64], k1: float) -> float:
    """scikit-image's mean of one scale; a huge k1 leaves contrast and structure alone."""
    margin = WINDOW_PX // 2
    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        ours,
        theirs,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        K1=k1,
        full=True,
    )
    return float(full[margin:-margin, margin:-margin].mean())


@pytest.mark.parametrize("noise", [0.02, 0.2])
def test_ms_ssim_is_the_product_over_scales(noise: float) -> None:
    """Contrast and structure on five halved scales, luminance on the last (Wang et al. 2003)."""
    output, target = pair(176, 192, noise)
    values = []
    for ours, theirs in zip(output[0].double().numpy(), target[0].double().numpy(), strict=True):
        product = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            small = [block_reduce(one, (2**scale, 2**scale), np.mean) for one in (ours, theirs)]  # type: ignore[no-untyped-call]
            product *= reference_scale(small[0], small[1], 0.01 if scale == 4 else 1e6) ** weight
        values.append(product)
    assert compute_ms_ssim(output, target).item() == pytest.approx(np.mean(values), abs=2e-5)


def test_ms_ssim_refuses_what_is_too_small_for_five_scales() -> None:
    """A side of 161 pixels is the least; neither whole numbers nor other shapes pass."""
    output, target = pair(MS_SMALLEST_PX, 170, 0.1)
    assert compute_ms_ssim(target, target).item() == pytest.approx(1)
    with pytest.raises(ValueError, match="at least 161 pixels"):
        compute_ms_ssim(output[:, :, 1:], target[:, :, 1:])
    with pytest.raises(TypeError):
        compute_ms_ssim((output * 255).byte(), (target * 255).byte())
