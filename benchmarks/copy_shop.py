"""Sixty products of ten departments that the voice was not trained on, and shoppers who could not be more different."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.catalog import Item
from models.encoder import Encoder
from models.profile import Profile, apply, blank
from schemas.events import Context, Fact, Line, OrderCompleted, ProductReviewed, ProductViewed, Source

__all__ = ["DAY", "DEPARTMENTS", "NOW", "PAIRS", "READERS", "items", "shopper"]

NOW: Final = 1_793_000_000.0  # a day in October 2026
DAY: Final = 86_400.0

# department -> category: a name as catalogues have them, and a price. Every third one is reduced.
DEPARTMENTS: Final[dict[str, dict[str, tuple[str, float]]]] = {
    "pets": {
        "dog leads": ("LEAD DOG NYLON RED 1.8M", 12.90),
        "cat toys": ("Feather wand for cats", 6.50),
        "aquariums": ("AQUARIUM 60L W/LID", 89.00),
        "bird cages": ("Bird cage, round", 54.00),
        "dog beds": ("Dog bed, grey, large", 39.90),
        "hamster wheels": ("WHEEL HAMSTER 20CM", 11.20),
    },
    "camping": {
        "tents": ("Two-person tent 'Fjell'", 149.00),
        "sleeping bags": ("SLEEPING BAG -5C GRN", 79.00),
        "camping stoves": ("Camping stove with case", 34.50),
        "head torches": ("HEADTORCH 200LM", 19.90),
        "hiking poles": ("Hiking poles, pair", 42.00),
        "cool boxes": ("COOLBOX 24L BLUE", 29.00),
    },
    "music": {
        "guitar strings": ("STRINGS GTR ACOUSTIC LIGHT 6PC", 9.80),
        "ukuleles": ("Ukulele, soprano", 45.00),
        "drum sticks": ("Drum sticks 5A", 8.90),
        "music stands": ("Folding music stand", 17.50),
        "recorders": ("RECORDER SOPRANO GERMAN FING", 14.20),
        "violin bows": ("Violin bow 4/4", 62.00),
    },
    "office": {
        "fountain pens": ("Fountain pen, medium nib", 24.00),
        "sticky notes": ("NOTES STICKY 76X76 12PK", 7.40),
        "ring binders": ("Ring binder A4, blue", 3.60),
        "wall calendars": ("Wall calendar 2027", 9.90),
        "envelopes": ("ENVELOPES C6 WHITE 50CT", 4.20),
        "desk organisers": ("Desk organiser, bamboo", 18.00),
    },
    "baby": {
        "baby monitors": ("Baby monitor with night view", 69.00),
        "bibs": ("BIB COTTON 3PK ASST", 8.50),
        "prams": ("Pram 'Wander'", 320.00),
        "changing mats": ("Changing mat, foxes", 22.00),
        "baby blankets": ("BLKT BABY KNIT CREAM", 19.00),
        "cot mobiles": ("Cot mobile with clouds", 27.50),
    },
    "car": {
        "car wax": ("WAX CAR PASTE 250G", 13.90),
        "ice scrapers": ("Ice scraper with glove", 6.90),
        "seat covers": ("SEATCVR FRONT PR BLK", 34.00),
        "jump leads": ("Jump leads 3 m", 21.50),
        "roof boxes": ("Roof box 420 l", 279.00),
        "dash cams": ("DASHCAM FHD", 58.00),
    },
    "crafts": {
        "knitting yarn": ("YARN MERINO DK 50G MUSTARD", 5.90),
        "sewing machines": ("Sewing machine 'Stitch 20'", 189.00),
        "embroidery hoops": ("Embroidery hoop 18 cm", 4.80),
        "watercolours": ("WATERCLR SET 24 PAN", 16.50),
        "paint brushes": ("Paint brushes, set of 6", 12.00),
        "scissors": ("SCISSORS FABRIC 21CM", 14.90),
    },
    "cycling": {
        "bike lights": ("LIGHT SET BIKE USB F+R", 25.00),
        "bike pumps": ("Floor pump", 29.90),
        "cycling gloves": ("GLOVES CYCL L/F BLK XL", 23.00),
        "bike locks": ("Folding lock", 48.00),
        "bike helmets": ("Helmet, city, M", 59.00),
        "panniers": ("PANNIER PR 40L", 84.00),
    },
    "photography": {
        "tripods": ("Travel tripod", 65.00),
        "camera bags": ("BAG CAMERA SHLDR SML", 38.00),
        "lens cloths": ("Lens cloths, 5", 6.20),
        "photo albums": ("Photo album, linen", 28.00),
        "instant cameras": ("INSTANT CAM MINT", 79.00),
        "photo printers": ("Pocket photo printer", 99.00),
    },
    "party": {
        "balloons": ("BALLOONS ASST 25CT", 3.90),
        "paper plates": ("PLATES PAPER DOTS 8CT", 2.80),
        "greeting cards": ("Birthday card, elephant", 3.20),
        "wrapping paper": ("GIFTWRAP ROLL STARS", 4.50),
        "paper garlands": ("Paper garland, 3 m", 7.00),
        "party hats": ("HATS PARTY CONE 6CT", 3.40),
    },
}

# Who each segment is, in words that no frame uses: what the nearest-reader check compares with.
READERS: Final[dict[str, str]] = {
    "fan": "An enthusiast who adores this kind of product and browses it all the time.",
    "saver": "A bargain hunter who watches the price and compares before spending money.",
    "loyal": "A regular customer who has been ordering here for years and knows the shop.",
    "new": "A first-time visitor whom the shop greets and who has just arrived.",
    "lapsed": "A former customer who disappeared long ago and should be won back after the absence.",
    "careful": "A disappointed customer who wants to be left in peace, with nobody pushing.",
}
PAIRS: Final[tuple[tuple[str, str], ...]] = (
    ("fan", "new"),
    ("saver", "fan"),
    ("loyal", "lapsed"),
    ("careful", "loyal"),
    ("new", "loyal"),
    ("lapsed", "saver"),
)


def items(encoder: Encoder | None = None) -> list[Item]:
    """The sixty products. Without an encoder their vectors are zero."""
    told = [(d, c, *named) for d, some in DEPARTMENTS.items() for c, named in some.items()]
    vectors = encoder.encode([f"{c}: {name}" for _, c, name, _ in told]) if encoder else np.zeros((len(told), 4), np.float32)
    return [
        Item(
            product_id=f"{department}-{category.replace(' ', '-')}",
            name=name,
            price=price,
            list_price=round(price * 1.25, 2) if i % 3 == 0 else None,
            currency="USD",
            category=f"{department}/{category}",
            url=f"https://shop.example/{department}/{category.replace(' ', '-')}",
            stock=9,
            vector=vectors[i],
        )
        for i, (department, category, name, price) in enumerate(told)
    ]


def shopper(kind: str, item: Item, others: Sequence[Item]) -> Profile:
    """A profile of one kind, made by applying events: looks, orders and words about `item` or `others`."""
    profile = blank(f"{kind}-{item.product_id}", len(item.vector))
    events: list[tuple[float, object, Item]] = []
    if kind == "fan":
        events = [(20 - i, ProductViewed(product_id=item.product_id, dwell_ms=60_000), item) for i in range(12)]
    if kind == "saver":
        reduced = [one for one in others if one.list_price is not None]
        events = [(20 - i, ProductViewed(product_id=one.product_id), one) for i, one in enumerate(reduced[:14])]
        events.append((21, order("s", reduced[0]), reduced[0]))
    if kind in ("loyal", "lapsed"):
        away = 0 if kind == "loyal" else 120
        full = [one for one in others if one.list_price is None]
        events = [(away + 60 - 6 * i, order(f"{kind}{i}", full[i]), full[i]) for i in range(8)]
    if kind == "new":
        events = [(0.1, ProductViewed(product_id=item.product_id), item)]
    if kind == "careful":
        events = [(30, order("c", others[0]), others[0])]
        events += [(10 - i, ProductReviewed(product_id=item.product_id, review_body="Broke.", rating=1), item) for i in range(2)]
    for n, (days_ago, body, about) in enumerate(events):
        fact = Fact(
            source=Source(topic="clicks", partition=0, offset=n),
            message_id=f"{kind}-{n}",
            person=profile.user_id,
            known=True,
            anonymous_id=None,
            at=NOW - days_ago * DAY,
            late=False,
            event=type(body).__name__,
            body=body,  # type: ignore[arg-type]
            context=Context(),
        )
        apply(profile, fact, item=about, items={about.product_id: about}, vector=about.vector)
    return profile


def order(name: str, item: Item) -> OrderCompleted:
    return OrderCompleted(order_id=name, products=[Line(product_id=item.product_id, price=item.price)], revenue=item.price)
