"""One of each outbound message, with every field filled."""

from __future__ import annotations

from typing import Any, Final

from schemas.messages import (
    Affinity,
    Button,
    ChannelUse,
    Cta,
    Decided,
    EmailContent,
    EmailReady,
    Factor,
    Generation,
    Message,
    MessageItem,
    PriceBand,
    ProfileUpdated,
    PushContent,
    PushReady,
    Reason,
    Recommended,
    RecommendedItem,
    Rfm,
    Suppressed,
    Trigger,
    TriggerRef,
    Unsubscribe,
    iso,
)

AT: Final = iso(1_795_507_200.0)
TRIGGER: Final = TriggerRef(type="product_viewed", message_id="m-1")
READY: Final[dict[str, Any]] = {
    "message_id": "0d7c",
    "idempotency_key": "0d7c",
    "decision_id": "d-1",
    "user_id": "ana",
    "category": "marketing",
    "subscription_group": "promotions",
    "campaign": "browse_abandonment",
    "variant_id": "v-1",
    "locale": "en-US",
    "not_before": AT,
    "send_by": AT,
    "items": [
        MessageItem(
            product_id="p9",
            name="Dark roast beans",
            price=9.5,
            currency="USD",
            url="https://shop.example/p/9",
            image_url="https://shop.example/9.jpg",
            price_as_of=AT,
        )
    ],
    "generation": Generation(source="pool", model="SmolLM2", prompt_version="3", verified=True, ai_generated=True),
    "trigger": TRIGGER,
    "propensity": 0.42,
}
UNSUBSCRIBE: Final = Unsubscribe(
    list_unsubscribe="<https://shop.example/u>, <mailto:u@shop.example>",
    list_unsubscribe_post="List-Unsubscribe=One-Click",
    list_id="promotions <promotions.shop.example>",
)

SAMPLES: Final[list[Message]] = [
    ProfileUpdated(
        user_id="ana",
        version=3,
        at=AT,
        top_categories=[Affinity(name="food/coffee", share=0.7)],
        top_brands=[Affinity(name="Kaffa", share=1.0)],
        price_band=PriceBand(low=5.0, typical=9.0, high=16.0),
        sentiment={"food/coffee": 0.4},
        rfm=Rfm(orders=2, revenue=31.0, last_order_at=AT),
        channels={"email": ChannelUse(sent=3, opened=2, clicked=1)},
        locale="pt-BR",
        timezone="America/Recife",
        triggers=[Trigger(type="product_viewed", message_id="m-1", topic="click", partition=3, offset=9, at=AT, product_id="p9")],
    ),
    Recommended(
        recommendation_id="r-1",
        decision_id="d-1",
        user_id="ana",
        surface="home",
        at=AT,
        expires_at=AT,
        trigger=TRIGGER,
        propensity=0.31,
        items=[
            RecommendedItem(
                product_id="p9",
                score=0.83,
                source="co_visit",
                reason=Reason(code="bought_with", product_id="p3", text="Often bought with Dark roast beans"),
                decision_token="t",
                name="Paper filters",
                price=3.5,
                currency="USD",
                url="https://shop.example/p/9",
                image_url=None,
            )
        ],
        model={"ranker": "1", "encoder": "all-MiniLM-L6-v2"},
    ),
    EmailReady(
        **READY,
        identifier_key="email",
        channel="email",
        content=EmailContent(
            subject="Still thinking?",
            preheader="Your beans wait",
            html="<p>Hi</p>",
            text="Hi",
            cta=Cta(label="See", url="https://shop.example/p/9"),
        ),
        unsubscribe=UNSUBSCRIBE,
    ),
    PushReady(
        **READY,
        identifier_key="push_token",
        channel="push",
        content=PushContent(
            title="Still thinking?",
            body="Your beans wait",
            image_url="https://shop.example/9.jpg",
            deep_link="https://shop.example/p/9",
            buttons=[Button(label="See", url="https://shop.example/p/9")],
        ),
        collapse_key="browse:ana",
        ttl_s=14_400,
        priority="normal",
    ),
    Suppressed(
        user_id="ana", decision_id="d-1", campaign="digest", channel="email", reason="frequency_capped", at=AT, trigger=TRIGGER
    ),
    Decided(
        decision_id="d-1",
        user_id="ana",
        policy="thompson",
        policy_version="1",
        at=AT,
        context=[1.0, 0.5],
        factors={"tone": Factor(arm="warm", propensity=0.6, propensities={"warm": 0.6, "plain": 0.4})},
        floor=0.05,
        holdout=None,
    ),
]
