"""Recommendations over HTTP: what may be asked, what is answered, and which traces an answer leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from aiohttp.test_utils import TestClient, TestServer

from models.examples import decode_example
from models.features import FEATURES
from schemas.errors import TransientError
from schemas.ids import read_token
from streams.api.process import web_application
from streams.listing import decode_listed
from streams.ops.health import Health
from tests.streams.shop import NOW, Shop, identify, product, track

TOKEN = "a token of the front end"


class Front:
    """A shop's front end that asks."""

    def __init__(self, shop: Shop, client: TestClient[Any, Any]) -> None:
        self.shop, self.client = shop, client

    async def ask(self, user: str, *, status: int = 200, headers: dict[str, str] | None = None, **asked: Any) -> Any:
        given = {name: str(value) for name, value in asked.items()}
        async with self.client.get(f"/recommendations/{user}", params=given, headers=headers or {}) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    shop = await Shop().stocked()
    async with TestClient(TestServer(web_application(shop.pipeline, Health(stuck_s=60), token=""))) as client:
        yield Front(shop, client)


def view(user: str, product_id: str, *, mid: str = "v1", anonymous: bool = False) -> dict[str, Any]:
    return track("Product Viewed", user, at=NOW - 60, mid=mid, anonymous=anonymous, product_id=product_id)


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["product_id"] for item in answer["items"]]


async def test_a_list_over_http_is_the_message_of_the_topic(front: Front) -> None:
    await front.shop.feed("click", view("ana", "tea-0"))

    answer = await front.ask("ana", n=4, surface="product")

    assert answer["type"] == "Recommended" and answer["user_id"] == "ana" and answer["surface"] == "product"
    assert len(answer["items"]) == 4
    assert {"ranker", "encoder", "rules"} <= set(answer["model"])
    for item in answer["items"]:
        assert item["reason"]["text"]
        assert item["price"] == front.shop.pipeline.catalogue.get(item["product_id"]).price  # type: ignore[union-attr]
        token = read_token(front.shop.pipeline.secret, item["decision_token"], NOW)
        assert (token.decision_id, token.item_id) == (answer["decision_id"], item["product_id"])


async def test_a_list_over_http_leaves_the_same_traces_as_one_on_the_topic(front: Front) -> None:
    await front.shop.feed("click", view("ana", "tea-0"))

    answer = await front.ask("ana")

    (decided,) = [one for one in front.shop.messages("decisions") if one.decision_id == answer["decision_id"]]
    assert [decided.factors[f"slot_{i}"].arm for i in range(1, len(answer["items"]) + 1)] == ids(answer)
    (data,) = await front.shop.store.lists([(front.shop.store.ref("ana"), answer["decision_id"])])
    assert data is not None
    record = decode_listed(data)
    assert record.items == ids(answer) and record.ranker == answer["model"]["ranker"]
    assert decode_example(record.rows).rows.shape == (len(record.items), len(FEATURES))


async def test_an_unknown_shopper_gets_the_list_of_a_cold_start(front: Front) -> None:
    for n in range(3):
        await front.shop.feed("click", view(f"other-{n}", "cup-1", mid=f"o{n}"))

    answer = await front.ask("nobody-knows-me")

    assert answer["items"]
    assert answer["model"]["ranker"].startswith("prior")


async def test_an_anonymous_visitor_is_known_after_one_click(front: Front) -> None:
    before = await front.ask("anon-7", n=3)
    await front.shop.feed("click", view("anon-7", "cup-2", anonymous=True))
    after = await front.ask("anon-7", n=3)

    assert sum(one.startswith("cup-") for one in ids(after)) == 2  # one category takes no more of three places
    assert ids(before) != ids(after)


async def test_a_visit_that_was_not_signed_in_yet_counts_when_it_is_named(front: Front) -> None:
    await front.shop.feed("click", view("ana", "tea-0", mid="v1"))
    await front.shop.feed("click", *(view("anon-7", f"cup-{i}", mid=f"a{i}", anonymous=True) for i in range(4)))

    alone, together = await front.ask("ana", n=3), await front.ask("ana", n=3, session="anon-7")

    assert sum(one.startswith("cup-") for one in ids(alone)) < sum(one.startswith("cup-") for one in ids(together))
    assert together["user_id"] == "ana"


async def test_the_known_id_behind_an_anonymous_one_is_not_told(front: Front) -> None:
    await front.shop.feed("click", view("anon-7", "cup-2", anonymous=True))
    await front.shop.feed("identity", identify("ana", at=NOW, mid="i1", anonymous_id="anon-7"))

    answer = await front.ask("anon-7")

    assert "ana" not in str(answer)
    assert (await front.shop.store.lists([(front.shop.store.ref("ana"), answer["decision_id"])]))[0] is not None


async def test_what_is_on_the_page_already_is_left_out(front: Front) -> None:
    first = ids(await front.ask("ana", n=5))

    second = ids(await front.ask("ana", n=50, exclude=",".join(first)))

    assert second and not set(first) & set(second)


async def test_a_repeated_request_has_the_same_ids_and_list(front: Front) -> None:
    await front.shop.feed("click", view("ana", "tea-0"))

    first = await front.ask("ana", headers={"X-Request-Id": "page-1"})
    again = await front.ask("ana", headers={"X-Request-Id": "page-1"})
    other = await front.ask("ana", headers={"X-Request-Id": "page-2"})

    assert first == again
    assert first["decision_id"] != other["decision_id"]


async def test_everything_wrong_with_a_request_is_said_at_once(front: Front) -> None:
    answer = await front.ask(
        "a" * 300, status=400, n="ten", surface="über/all", exclude=",".join(map(str, range(300))), colour="red"
    )

    said = " ".join(answer["problems"])
    for name in ("user", "n:", "surface", "exclude", "colour"):
        assert name in said


@pytest.mark.parametrize(
    "asked", [{"n": "0"}, {"n": "51"}, {"n": "-1"}, {"n": "1e3"}, {"surface": ""}, {"session": "a\x00b"}, {"exclude": "\x07"}]
)
async def test_what_is_outside_the_limits_is_refused(front: Front, asked: dict[str, str]) -> None:
    assert (await front.ask("ana", status=400, **asked))["problems"]


@pytest.mark.parametrize("user", ["ana", "客人", "a%20b", "..%2f..%2fetc", "null", "%F0%9F%8D%B5"])
async def test_any_printable_id_is_an_id(front: Front, user: str) -> None:
    async with front.client.get(f"/recommendations/{user}") as answer:
        assert answer.status == 200, await answer.text()


async def test_an_erased_shopper_gets_a_general_list_and_leaves_no_trace(front: Front) -> None:
    await front.shop.feed("click", view("ana", "tea-0"))
    erase = track("Erase", "ana", at=NOW, mid="e1", request_id="r1", scope="all")
    await front.shop.feed("privacy", erase)
    decided = len(front.shop.messages("decisions"))

    answer = await front.ask("ana")

    assert answer["items"]
    assert {item["reason"]["code"] for item in answer["items"]} <= {"trending", "trending_in", "new", "discover", "discover_in"}
    assert len(front.shop.messages("decisions")) == decided
    assert set(await front.shop.store.scan_user(front.shop.store.ref("ana"))) == {"profile"}


async def test_who_opted_out_gets_nothing_personal_and_is_not_learnt_from(front: Front) -> None:
    await front.shop.feed("click", view("ana", "tea-0"))
    await front.shop.feed("privacy", track("Opt Out", "ana", at=NOW, mid="o1", request_id="r1", scope="personalization"))

    answer = await front.ask("ana")

    assert {item["reason"]["code"] for item in answer["items"]} <= {"trending", "trending_in", "new", "discover", "discover_in"}
    assert await front.shop.store.lists([(front.shop.store.ref("ana"), answer["decision_id"])]) == [None]


async def test_a_change_of_the_catalogue_shows_in_the_next_answer(front: Front) -> None:
    await front.shop.feed("click", view("ana", "tea-0"))
    first = ids(await front.ask("ana"))
    gone, cheaper = first[0], first[1]
    await front.shop.feed("catalog", product(gone, "Gone", category="food/tea", price=6.0) | {"stock": 0})
    await front.shop.feed("catalog", product(cheaper, "Cheaper now", category="food/tea", price=4.5))

    answer = await front.ask("ana")

    assert gone not in ids(answer)
    assert {item["price"] for item in answer["items"] if item["product_id"] == cheaper} <= {4.5}


async def test_when_the_decision_cannot_be_kept_there_is_no_answer(front: Front) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise TransientError("kafka: away")

    front.shop.sent.send = away  # type: ignore[method-assign]

    assert await front.ask("ana", status=503)


@pytest.mark.parametrize(("given", "status"), [("", 401), ("Bearer wrong", 401), (f"Bearer {TOKEN}", 200)])
async def test_with_a_token_only_its_bearer_is_answered(given: str, status: int) -> None:
    shop, health = await Shop().stocked(), Health(stuck_s=60)
    health.start()
    async with TestClient(TestServer(web_application(shop.pipeline, health, token=TOKEN))) as client:
        async with client.get("/recommendations/ana", headers={"Authorization": given} if given else {}) as answer:
            assert answer.status == status
            assert answer.content_type == "application/json"
        for path in ("/health", "/ready", "/metrics", "/openapi.json"):
            async with client.get(path) as answer:
                assert answer.status == 200


async def test_without_a_token_another_host_name_is_refused(front: Front) -> None:
    async with front.client.get("/recommendations/ana", headers={"Host": "shop.example"}) as answer:
        assert answer.status == 403
        assert "HEADRACE_API_TOKEN" in (await answer.json())["error"]


async def test_a_path_that_does_not_exist_is_refused_in_json(front: Front) -> None:
    async with front.client.get("/recommendation/ana") as answer:
        assert answer.status == 404 and (await answer.json())["error"]


async def test_the_rules_hold_over_http_and_change_without_a_restart(front: Front, tmp_path: Any) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("default: {exclude: [{categories: [food]}]}")
    front.shop.settings = replace(front.shop.settings, rules=path)
    pipeline = front.shop.worker()
    async with TestClient(TestServer(web_application(pipeline, Health(stuck_s=60), token=""))) as client:
        shop_front = Front(front.shop, client)
        assert all(one.startswith("cup-") for one in ids(await shop_front.ask("ana")))

        path.write_text("default: {exclude: [{categories: [home]}]}   # the other way round")
        front.shop.now += 2.0
        assert all(one.startswith("tea-") for one in ids(await shop_front.ask("ana")))

        path.write_text("default: {exclude: 7}")
        front.shop.now += 2.0
        assert all(one.startswith("tea-") for one in ids(await shop_front.ask("ana")))
        assert pipeline.rules.wrong


async def test_the_document_describes_what_is_really_sent(front: Front) -> None:
    async with front.client.get("/openapi.json") as answer:
        document = await answer.json()

    assert document["openapi"] == "3.1.0" and list(document["paths"]) == ["/recommendations/{user}"]
    whole = {"$ref": "#/components/schemas/Recommended", "components": document["components"]}
    jsonschema.Draft202012Validator.check_schema(whole)
    checker = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())
    checker.validate(await front.ask("ana"))
    with pytest.raises(jsonschema.ValidationError):
        checker.validate({"type": "Recommended"})
    get = document["paths"]["/recommendations/{user}"]["get"]
    assert {one["name"] for one in get["parameters"]} == {"user", "surface", "n", "exclude", "session", "X-Request-Id"}
    for reference in _references(document):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [one for value in node.values() for one in _references(value)]
    return [one for value in node for one in _references(value)] if isinstance(node, list) else []
