"""Field types with their limits: one vocabulary for events, messages and the published schemas."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from schemas import limits

# Annotated marks (`extra`) say what the codec still checks after decoding: msgspec counts characters, the contract bytes.
Id = Annotated[
    str,
    Meta(min_length=1, max_length=limits.MAX_ID_BYTES, description="Printable, at most 256 bytes.", extra={"check": "id"}),
]
Token = Annotated[str, Meta(min_length=1, max_length=limits.MAX_TOKEN_CHARS, extra={"check": "id"})]
Text = Annotated[str, Meta(description="Free text; cut after 8 KiB.", extra={"cut": limits.MAX_TEXT_BYTES})]
SomeText = Annotated[str, Meta(min_length=1, description="Free text; cut after 8 KiB.", extra={"cut": limits.MAX_TEXT_BYTES})]
Label = Annotated[str, Meta(description="A short name; cut after 256 bytes.", extra={"cut": limits.MAX_LABEL_BYTES})]
Tag = Annotated[str, Meta(max_length=limits.MAX_ID_BYTES, description="May be empty.", extra={"check": "id"})]
Key = Annotated[str, Meta(max_length=limits.MAX_ID_BYTES)]  # of a map
Url = Annotated[str, Meta(max_length=limits.MAX_URL_CHARS, description="No script or data URL.", extra={"check": "url"})]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3, description="ISO 4217, for example USD.")]
Amount = Annotated[float, Meta(ge=0, le=limits.MAX_AMOUNT)]
Count = Annotated[int, Meta(ge=0, le=limits.MAX_COUNT)]
Stock = Annotated[int, Meta(ge=-limits.MAX_COUNT, le=limits.MAX_COUNT, description="Zero and less: out of stock.")]
Rating = Annotated[float, Meta(ge=1, le=5)]
Share = Annotated[float, Meta(ge=0, le=1)]
IsoTime = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]

Moment = (
    Annotated[str, Meta(description="ISO 8601 with an offset, 2000 to 2100.", extra_json_schema={"format": "date-time"})]
    | Annotated[float, Meta(description="Epoch milliseconds.", ge=limits.EARLIEST_S * 1000, lt=limits.LATEST_S * 1000)]
)

FEW: Final = Meta(max_length=limits.MAX_ENTRIES)
Attribute = str | Annotated[int, Meta(ge=-(2**53), le=2**53)] | float | bool | Annotated[list[str], FEW] | None
PRODUCTS: Final = Meta(max_length=limits.MAX_PRODUCTS)


def one_of(*values: str) -> Any:
    """Metadata of a string out of a closed list; the codec checks inbound ones, so that no error repeats what came."""
    return Meta(extra_json_schema={"enum": list(values)}, extra={"one_of": values})
