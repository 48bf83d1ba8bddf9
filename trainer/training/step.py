"""One step of a training up to the gradients: forward pass, loss, backward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sharpend.errors import UsageError
from trainer.training.losses import training_loss

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainer.training.batches import Batch
    from trainer.training.recipe import Recipe


def gradients(
    recipe: Recipe,
    network: nn.Module,
    batch: Batch,
    *,
    bfloat16: bool,
) -> tuple[Tensor, Tensor]:
    """Add the gradients of a batch to the network's.

    Args:
        recipe: its loss, and whether the network has cues.
        network: as its recipe describes it.
        batch: B crops.
        bfloat16: of the forward pass; the loss is float32 always.

    Returns:
        Output, B x 3 x crop_px x crop_px, and loss, a scalar; both without a graph.
    """
    given = inputs(recipe.network.cued, batch)
    device = batch.degraded.device.type
    # Without a cache of cast weights, which would outlive the step in a captured graph.
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
        output = network(*given)
    loss = training_loss(output, batch.target, batch.taught, recipe.loss)
    loss.backward()  # type: ignore[no-untyped-call]
    return output.detach(), loss.detach()


def inputs(cued: bool, batch: Batch) -> tuple[Tensor, ...]:  # noqa: FBT001 - a recipe's value
    """Inputs of a network: the degraded crops, and the energies if it has cues.

    Raises:
        UsageError: it has cues, but the examples have no energies.
    """
    if not cued:
        return (batch.degraded,)
    if batch.measured is None:
        raise UsageError("network.cued: needs a pool (data.pool), whose windows are measured")
    return batch.degraded, batch.measured
