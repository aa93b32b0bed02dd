"""What is published is what the codec does."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from message_samples import SAMPLES
from wire_builders import LISTED, PRODUCT, envelope, read

from schemas.codec import encode
from schemas.errors import EventError
from schemas.events import EVENTS
from schemas.publish import ROOT, documents, file_name, main, stale, write
from schemas.topics import PUBLISHED as PUBLISHED_TOPICS
from schemas.topics import TOPICS, full_name

PUBLISHED = {path.name: json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "schemas/json").glob("*.json"))}
ASYNCAPI = yaml.safe_load((ROOT / "asyncapi.yaml").read_text("utf-8"))
IDENTITY: dict[str, dict[str, Any]] = {
    "identify": envelope(type="identify", event=..., properties=..., traits={"first_name": "Ana", "email_consent": True}),
    "alias": envelope(type="alias", event=..., properties=..., previousId="a-7"),
}


def accepts(name: str, instance: Any) -> bool:
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(PUBLISHED[file_name(name)], format_checker=checker).is_valid(instance)


def test_the_committed_files_fit_the_structs():
    done = subprocess.run(
        [sys.executable, "-m", "schemas.publish", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_a_changed_and_a_left_over_file_are_named(tmp_path, capsys):
    write(tmp_path)
    assert stale(tmp_path) == []
    (tmp_path / "asyncapi.yaml").unlink()
    (tmp_path / "schemas/json/alias.json").write_text("{}")
    (tmp_path / "schemas/json/gone.json").write_text("{}")

    assert main(["--check"], root=tmp_path) == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [
        "asyncapi.yaml",
        "schemas/json/alias.json",
        "schemas/json/gone.json",
    ]
    assert main([], root=tmp_path) == 0
    assert main(["--check"], root=tmp_path) == 0
    assert main(["--wrong"], root=tmp_path) == 2


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_schema_is_a_schema_of_draft_2020_12(name):
    assert PUBLISHED[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(PUBLISHED[name])


def test_no_schema_refers_to_what_is_not_there():
    for name, document in documents().items():
        refs = {node["$ref"] for node in nodes(document) if "$ref" in node}
        assert refs == {f"#/$defs/{used}" for used in document.get("$defs", {})}, name


@pytest.mark.parametrize(("topic", "event"), LISTED)
def test_what_the_codec_takes_the_schema_takes(topic, event):
    whole = envelope(
        event, LISTED[topic, event], context={"locale": "en", "consent": {"categoryPreferences": {"Marketing": True}}}
    )

    assert read(whole, topic).event == event
    assert accepts(event, whole)


def test_identify_alias_and_products_fit_their_schemas():
    assert all(accepts(name, whole) and read(whole, "identity") for name, whole in IDENTITY.items())
    assert accepts("Product Upserted", PRODUCT)
    assert accepts("Product Upserted", envelope("Product Upserted", PRODUCT, userId=...))


@pytest.mark.parametrize(
    ("topic", "event", "change"),
    [
        ("click", "Product Viewed", {"messageId": ...}),
        ("click", "Product Viewed", {"userId": None}),
        ("click", "Product Viewed", {"userId": 3}),
        ("click", "Product Viewed", {"timestamp": 1.0}),
        ("click", "Product Viewed", {"timestamp": ...}),
        ("click", "Product Viewed", {"type": "page"}),
        ("click", "Product Viewed", {"event": "Viewed Product"}),
        ("click", "Product Viewed", {"properties": {}}),
        ("click", "Product Viewed", {"properties": {"product_id": 7}}),
        ("click", "Product Viewed", {"properties": ...}),
        ("click", "Product Viewed", {"context": {"locale": 5}}),
        ("click", "Product List Viewed", {"properties": {"products": [{"product_id": "p"}]}}),
        ("click", "Product List Viewed", {"properties": {"products": [{"product_id": "p", "position": 1}] * 201}}),
        ("search", "Products Searched", {"properties": {"query": ""}}),
        ("social", "Product Reviewed", {"properties": {"product_id": "p", "review_body": "b", "rating": 0}}),
        ("conversion", "Order Completed", {"properties": {"order_id": "o", "products": [{"product_id": "p", "price": -1}]}}),
        ("conversion", "Order Completed", {"properties": {"order_id": "o", "products": [], "currency": "usd"}}),
        ("conversion", "Email Opened", {"properties": {}}),
        ("privacy", "Opt Out", {"properties": {"request_id": "r", "scope": "some"}}),
    ],
)
def test_what_the_codec_refuses_the_schema_refuses(topic, event, change):
    whole = {name: value for name, value in {**envelope(event, LISTED[topic, event]), **change}.items() if value is not ...}

    with pytest.raises(EventError):
        read(whole, topic)
    assert not accepts(event, whole)


@pytest.mark.parametrize("field", ["product_id", "name", "price", "currency"])
def test_a_product_without_a_required_field_fits_neither(field):
    without = {name: value for name, value in PRODUCT.items() if name != field}

    assert not accepts("Product Upserted", without)
    with pytest.raises(EventError):
        read(without, "catalog", key=b"p9")


@pytest.mark.parametrize("message", SAMPLES, ids=lambda message: type(message).__name__)
def test_every_message_fits_its_schema_and_another_type_does_not(message):
    name, written = type(message).__name__, json.loads(encode(message))

    assert accepts(name, written)
    assert not accepts(name, written | {"type": "Else"})
    for field in PUBLISHED[file_name(name)]["required"]:
        assert not accepts(name, {key: value for key, value in written.items() if key != field}), field


def test_a_title_that_is_too_long_does_not_fit_the_schema_of_a_push():
    written = json.loads(encode(next(message for message in SAMPLES if type(message).__name__ == "PushReady")))
    longer = copy.deepcopy(written)
    longer["content"]["title"] = "t" * 66

    assert accepts("PushReady", written)
    assert not accepts("PushReady", longer)


def nodes(node: Any) -> list[dict[str, Any]]:
    """Every object in a document."""
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return ([node] if isinstance(node, dict) else []) + [found for part in inner for found in nodes(part)]


def resolve(ref: str) -> Any:
    """What a reference of the AsyncAPI document points at: a part of it, or a file."""
    if not ref.startswith("#"):
        return json.loads((ROOT / ref).read_text("utf-8"))
    found: Any = ASYNCAPI
    for part in ref.removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_asyncapi_has_every_topic_with_its_kafka_settings():
    channels = {channel["address"]: channel for channel in ASYNCAPI["channels"].values()}

    assert ASYNCAPI["asyncapi"] == "3.1.0"
    assert set(channels) == {full_name(topic.name) for topic in PUBLISHED_TOPICS}
    for topic in PUBLISHED_TOPICS:
        short = topic.name
        kafka = channels[full_name(short)]["bindings"]["kafka"]
        assert kafka["topic"] == full_name(short)
        assert kafka["partitions"] == topic.partitions
        assert kafka["topicConfiguration"]["cleanup.policy"] == [topic.cleanup]
        assert str(kafka["topicConfiguration"]["max.message.bytes"]) == topic.config["max.message.bytes"]


def test_every_reference_of_asyncapi_leads_somewhere():
    refs = {node["$ref"] for node in nodes(ASYNCAPI) if "$ref" in node}

    assert len(refs) > 100
    assert all(isinstance(resolve(ref), dict) for ref in refs)


def test_every_operation_names_messages_of_its_own_channel_in_the_right_direction():
    assert len(ASYNCAPI["operations"]) == len(PUBLISHED_TOPICS) < len(TOPICS)
    for operation in ASYNCAPI["operations"].values():
        channel = resolve(operation["channel"]["$ref"])
        short = channel["address"].removeprefix("headrace.")
        assert operation["action"] == ("receive" if TOPICS[short].direction == "in" else "send")
        assert [resolve(message["$ref"]) for message in operation["messages"]] == list(channel["messages"].values())


def test_asyncapi_lists_the_events_of_each_topic():
    for short, rows in EVENTS.items():
        channel = next(channel for channel in ASYNCAPI["channels"].values() if channel["address"] == full_name(short))
        named = [resolve(message["$ref"])["name"] for message in channel["messages"].values()]
        assert named == list(rows)


def test_every_published_message_but_the_dead_letter_has_a_schema():
    for message in ASYNCAPI["components"]["messages"].values():
        payload = message["payload"]
        if message["name"] != "DeadLetter":
            assert payload["$ref"] == f"./schemas/json/{file_name(message['name'])}"
        assert {"key", "bindingVersion"} == set(message["bindings"]["kafka"])
