"""Decision whether the source of a finished job is kept, archived or deleted.

Owns the reason why a source with more content than its output is not deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharpend.policies import Sidecars, SourcePolicy

if TYPE_CHECKING:
    from sharpend.ledger.records import Product


def ends_at_once(source: SourcePolicy, sidecars: Sidecars, product: Product) -> bool:
    """Return whether nothing is left to do once the output has its name, durably."""
    return sidecars is not Sidecars.COPY and keeps_source(source, product)


def reason_to_keep(source: SourcePolicy, product: Product) -> str:
    """Explain why a source is kept that would be deleted; "" where it need not be kept.

    What is archived is not lost. The decision is the product's, made when it was staged, so that a
    later change of the setting deletes no source of an earlier output.
    """
    if source is not SourcePolicy.DELETE or not product.kept_reason:
        return ""
    return (
        f"the input was not deleted, because its output lacks content: {product.kept_reason}; "
        "set pictures.losses to accept to have such inputs deleted"
    )


def keeps_source(source: SourcePolicy, product: Product) -> bool:
    """Return whether the source of a product is left where it is."""
    kept = product.kept_existing or bool(reason_to_keep(source, product))
    return kept or source is SourcePolicy.KEEP
