"""Stage 2, catalog: a product's text becomes a vector; the item index follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.catalog import Item, encode_item
from schemas.events import Fact, ProductDeleted, ProductUpserted
from streams.effects import Effects

Vector = npt.NDArray[np.float32]
DESCRIPTION_CHARS = 160  # read by the encoder: its cost grows with the text, and a description says most at its start


def text_of(product: ProductUpserted) -> str:
    """What the encoder reads of a product: name, brand, category words, and the beginning of the description."""
    category = " ".join((product.category or "").split("/"))
    return ". ".join(
        part for part in (product.name, product.brand, category, (product.description or "")[:DESCRIPTION_CHARS]) if part
    )


async def catalog(facts: Sequence[Fact], vectors: Mapping[str, Vector], *, now: float) -> Effects:
    """Upsert or delete each product; the last record of a product in the batch wins."""
    effects = Effects()
    for fact in facts:
        body = fact.body
        effects.count("applied")
        if isinstance(body, ProductDeleted):
            effects.items[body.product_id] = None
        elif isinstance(body, ProductUpserted):
            effects.items[body.product_id] = encode_item(item_of(body, vectors[text_of(body)], at=fact.at))
    return effects


def item_of(product: ProductUpserted, vector: Vector, *, at: float) -> Item:
    return Item(
        product_id=product.product_id,
        name=product.name,
        price=product.price,
        currency=product.currency,
        list_price=product.list_price,
        description=product.description or "",
        brand=product.brand or "",
        category=product.category or "",
        image_url=product.image_url or "",
        url=product.url or "",
        stock=product.stock,
        attributes=product.attributes or {},
        locale_names=product.locale_names or {},
        vector=vector,
        updated_at=at,
    )
