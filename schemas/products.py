"""A catalog record: the bare product, the product in an envelope, or nothing, which deletes it."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.bodies import body_of, event_name
from schemas.checks import check, check_id
from schemas.errors import EventError
from schemas.events import Body, Fact, ProductDeleted, ProductUpserted, Source
from schemas.refusal import refusal
from schemas.times import event_time
from schemas.wire import ABSENT, NO_CONTEXT, CatalogProbe, envelope_of

_probe: Final = msgspec.json.Decoder(CatalogProbe).decode
_bare: Final = msgspec.json.Decoder(ProductUpserted).decode


def product_fact(source: Source, key: bytes | None, value: bytes | None, *, latest: float) -> Fact:
    """The product in a record. EventError where there is none, or the key is not its id."""
    message_id, at, cuts = f"catalog-{source.partition}-{source.offset}", latest, 0
    if not value:
        return _fact(source, message_id, ProductDeleted(product_id=_key(key)), "Product Deleted", at=at, cuts=0)
    try:
        probe = _probe(value)
        envelope = envelope_of(value) if probe.product_id is ABSENT and probe.properties is not ABSENT else None
        bare = _bare(value) if envelope is None else None
    except msgspec.DecodeError as error:
        raise refusal(error, "invalid_properties", "$", value=value) from None
    body: Body
    if envelope is not None:
        body, cuts = body_of(envelope, "catalog", event_name(envelope, "catalog"))
        message_id, at = envelope.message_id, event_time(envelope, latest=latest)
    elif bare is not None:
        body, cuts = check(bare, "$", "invalid_properties")
    if not isinstance(body, ProductUpserted) or key != body.product_id.encode():
        raise EventError("wrong_key", "Expected the product_id as the record key")
    return _fact(source, message_id, body, "Product Upserted", at=at, cuts=cuts)


def _key(key: bytes | None) -> str:
    if not key:
        raise EventError("wrong_key", "Expected the product_id as the record key, got none")
    try:
        product_id = key.decode()
        check_id(product_id, "key")
    except UnicodeDecodeError:
        raise EventError("wrong_key", "Expected the product_id in UTF-8 as the record key") from None
    except EventError as error:
        raise EventError("wrong_key", error.detail) from None
    return product_id


def _fact(source: Source, message_id: str, body: Body, event: str, *, at: float, cuts: int) -> Fact:
    """Never late: the topic is compacted, an old record is still what the shop says."""
    return Fact(
        source=source,
        message_id=message_id,
        person="",
        known=False,
        anonymous_id=None,
        at=at,
        late=False,
        event=event,
        body=body,
        context=NO_CONTEXT,
        cut=cuts,
    )
