"""What happened in the shop: every inbound event, and the table of which topic lists which.

To add an event: write its struct, add a row to `EVENTS`, run `python -m schemas.publish`.
Times are epoch seconds; events are frozen, keyword-only, and only ever grow: a new field has a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Struct

from schemas.fields import (
    FEW,
    PRODUCTS,
    Amount,
    Attribute,
    Count,
    Currency,
    Id,
    Key,
    Label,
    Rating,
    SomeText,
    Stock,
    Tag,
    Text,
    Token,
    Url,
    one_of,
)


class Event(Struct, frozen=True, kw_only=True):
    """Policy of all events: immutable, fields by name, unknown fields ignored."""


class Line(Event, frozen=True, kw_only=True):
    """One product in a list, a cart or an order."""

    product_id: Id
    quantity: Count = 1
    price: Amount | None = None  # of one unit
    position: Count | None = None


Lines = Annotated[list[Line], PRODUCTS]


class ProductListViewed(Event, frozen=True, kw_only=True):
    """A list of products was shown; each line has its position. Of a recommended list: `list_id` is its decision id, or a token is given."""

    products: Lines
    list_id: Id | None = None
    decision_token: Token | None = None  # of any product of the list


class ProductClicked(Event, frozen=True, kw_only=True):
    """A shopper chose a product in a list."""

    product_id: Id
    position: Count | None = None
    list_id: Id | None = None
    dwell_ms: Amount | None = None
    decision_token: Token | None = None


class ProductViewed(Event, frozen=True, kw_only=True):
    """A shopper opened a product's page."""

    product_id: Id
    position: Count | None = None
    list_id: Id | None = None
    dwell_ms: Amount | None = None
    decision_token: Token | None = None


class ProductAdded(Event, frozen=True, kw_only=True):
    """A product went into the cart."""

    product_id: Id
    quantity: Count = 1
    price: Amount | None = None
    cart_id: Id | None = None


class ProductRemoved(Event, frozen=True, kw_only=True):
    """A product left the cart."""

    product_id: Id
    quantity: Count = 1
    price: Amount | None = None
    cart_id: Id | None = None


class ProductAddedToWishlist(Event, frozen=True, kw_only=True):
    """A product was remembered for later."""

    product_id: Id
    quantity: Count = 1
    price: Amount | None = None
    cart_id: Id | None = None


class CartViewed(Event, frozen=True, kw_only=True):
    """A shopper looked at the cart."""

    cart_id: Id | None = None
    products: Lines = []


class CheckoutStarted(Event, frozen=True, kw_only=True):
    """A shopper went to pay."""

    cart_id: Id | None = None
    products: Lines = []


class PromotionViewed(Event, frozen=True, kw_only=True):
    """A promotion was shown."""

    promotion_id: Id
    name: Label | None = None
    position: Label | None = None  # a place on the page, as producers name it


class PromotionClicked(Event, frozen=True, kw_only=True):
    """A promotion was clicked."""

    promotion_id: Id
    name: Label | None = None
    position: Label | None = None


class ProductsSearched(Event, frozen=True, kw_only=True):
    """A shopper searched."""

    query: SomeText
    results: Count | None = None


class ProductReviewed(Event, frozen=True, kw_only=True):
    """A shopper wrote about a product."""

    product_id: Id
    review_body: SomeText
    rating: Rating | None = None


class ProductShared(Event, frozen=True, kw_only=True):
    """A shopper passed a product on."""

    product_id: Id
    share_via: Label | None = None
    share_message: Text | None = None


class SocialPost(Event, frozen=True, kw_only=True):
    """A shopper wrote something in public."""

    text: SomeText
    network: Label | None = None
    product_id: Id | None = None
    likes: Count | None = None


class OrderCompleted(Event, frozen=True, kw_only=True):
    """A shopper bought."""

    order_id: Id
    products: Lines
    revenue: Amount | None = None
    currency: Currency | None = None
    coupon: Label | None = None
    decision_token: Token | None = None


class OrderRefunded(Event, frozen=True, kw_only=True):
    """An order, or a part of it, was given back."""

    order_id: Id
    products: Lines = []
    revenue: Amount | None = None
    decision_token: Token | None = None


class Feedback(Event, frozen=True, kw_only=True):
    """What became of a message: `kind` and `channel` follow from the event's name."""

    kind: Annotated[str, one_of("delivered", "opened", "clicked", "bounced", "unsubscribed", "complained", "dismissed")]
    channel: Annotated[str, one_of("email", "push")]
    message_id: Id | None = None
    decision_token: Token | None = None
    link_id: Id | None = None
    reason: Label | None = None


class Identified(Event, frozen=True, kw_only=True):
    """A shopper said who they are, or changed a consent. None: nothing said."""

    first_name: Label | None = None
    locale: Tag | None = None
    timezone: Tag | None = None
    email_consent: bool | None = None
    push_consent: bool | None = None
    subscriptions: dict[str, bool] | None = None  # subscription group, or channel -> subscribed


class Aliased(Event, frozen=True, kw_only=True):
    """Two ids are one shopper: `previous_id` is the older one."""

    previous_id: Id


class PrivacyRequested(Event, frozen=True, kw_only=True):
    """A shopper asked for a right: `kind` follows from the event's name."""

    kind: Annotated[str, one_of("erase", "export", "opt_out", "opt_in")]
    request_id: Id
    scope: Annotated[str, one_of("personalization", "email", "push", "all")] = "all"


class ProductUpserted(Event, frozen=True, kw_only=True):
    """A product is new or changed; the record holds all of it."""

    product_id: Id
    name: SomeText
    price: Amount
    currency: Currency
    list_price: Amount | None = None
    description: Text | None = None
    brand: Label | None = None
    category: Label | None = None  # "a/b/c"
    image_url: Url | None = None
    url: Url | None = None
    stock: Stock | None = None  # None: not tracked, sold
    attributes: Annotated[dict[Key, Attribute], FEW] | None = None
    locale_names: Annotated[dict[Key, Text], FEW] | None = None


class ProductDeleted(Event, frozen=True, kw_only=True):
    """A product is gone: its catalog record had an empty value."""

    product_id: Id


Body = (
    ProductListViewed
    | ProductClicked
    | ProductViewed
    | ProductAdded
    | ProductRemoved
    | ProductAddedToWishlist
    | CartViewed
    | CheckoutStarted
    | PromotionViewed
    | PromotionClicked
    | ProductsSearched
    | ProductReviewed
    | ProductShared
    | SocialPost
    | OrderCompleted
    | OrderRefunded
    | Feedback
    | Identified
    | Aliased
    | PrivacyRequested
    | ProductUpserted
    | ProductDeleted
)


class Source(Struct, frozen=True, kw_only=True):
    """Where a record came from: the identity of everything that it causes."""

    topic: str  # short name
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


class Context(Struct, frozen=True, kw_only=True):
    """What the envelope said about the visit."""

    locale: str | None = None
    timezone: str | None = None
    user_agent: str | None = None
    device_type: str | None = None
    campaign: str | None = None
    consent: dict[str, bool] | None = None  # None: nothing said; {}: all refused


class Fact(Struct, frozen=True, kw_only=True):
    """One valid event, with its time corrected and its shopper known by one id."""

    source: Source
    message_id: str
    person: str  # userId, else anonymousId; "" for a product
    known: bool  # person is a userId
    anonymous_id: str | None
    at: float  # epoch seconds, corrected
    late: bool
    event: str
    body: Body
    context: Context
    cut: int = 0  # text fields that were cut to their limit


EVENTS: Final[Mapping[str, Mapping[str, type[Event]]]] = {
    "click": {
        "Product List Viewed": ProductListViewed,
        "Product Clicked": ProductClicked,
        "Product Viewed": ProductViewed,
        "Product Added": ProductAdded,
        "Product Removed": ProductRemoved,
        "Product Added to Wishlist": ProductAddedToWishlist,
        "Cart Viewed": CartViewed,
        "Checkout Started": CheckoutStarted,
        "Promotion Viewed": PromotionViewed,
        "Promotion Clicked": PromotionClicked,
    },
    "search": {"Products Searched": ProductsSearched},
    "social": {"Product Reviewed": ProductReviewed, "Product Shared": ProductShared, "Social Post": SocialPost},
    "conversion": {
        "Order Completed": OrderCompleted,
        "Order Refunded": OrderRefunded,
        "Email Delivered": Feedback,
        "Email Opened": Feedback,
        "Email Link Clicked": Feedback,
        "Email Bounced": Feedback,
        "Unsubscribed": Feedback,
        "Email Marked as Spam": Feedback,
        "Push Notification Delivered": Feedback,
        "Push Notification Tapped": Feedback,
        "Push Notification Dismissed": Feedback,
    },
    "identity": {"identify": Identified, "alias": Aliased},
    "privacy": {"Erase": PrivacyRequested, "Export": PrivacyRequested, "Opt Out": PrivacyRequested, "Opt In": PrivacyRequested},
    "catalog": {"Product Upserted": ProductUpserted},
}

FEEDBACK: Final[Mapping[str, tuple[str, str]]] = {  # event -> kind, channel
    "Email Delivered": ("delivered", "email"),
    "Email Opened": ("opened", "email"),
    "Email Link Clicked": ("clicked", "email"),
    "Email Bounced": ("bounced", "email"),
    "Unsubscribed": ("unsubscribed", "email"),
    "Email Marked as Spam": ("complained", "email"),
    "Push Notification Delivered": ("delivered", "push"),
    "Push Notification Tapped": ("clicked", "push"),
    "Push Notification Dismissed": ("dismissed", "push"),
}
PRIVACY: Final[Mapping[str, str]] = {"Erase": "erase", "Export": "export", "Opt Out": "opt_out", "Opt In": "opt_in"}
