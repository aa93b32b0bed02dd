"""The AsyncAPI 3.1.0 document: every topic as a channel with its Kafka bindings, every event and message on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from schemas.errors import DEAD_LETTER_REASONS
from schemas.events import EVENTS
from schemas.topics import PUBLISHED, TOPICS, Topic, full_name

CONTRACT_VERSION: Final = "1.0.0"  # of the wire contract; changes are additive, so the first number stays
BINDING_VERSION: Final = "0.5.0"
OUT: Final = {  # topic -> its messages
    "profiles": ("ProfileUpdated",),
    "recommendations": ("Recommended",),
    "content.email": ("EmailReady",),
    "content.push": ("PushReady",),
    "suppressions": ("Suppressed",),
    "decisions": ("Decided",),
}
_ID: Final = {"type": "string", "minLength": 1, "maxLength": 256}
_DEAD_LETTER: Final = ("topic", "partition", "offset", "timestamp", "stage", "detail", "attempts", "failed-at", "app-version")


def asyncapi(file_name: Callable[[str], str]) -> dict[str, Any]:
    """The whole document. `file_name` says where the JSON Schema of an event or message is."""
    messages = {
        _camel(name): _message(name, topic, file_name)
        for topic in PUBLISHED
        for name in _names(topic.name)
        if name != "DeadLetter"
    }
    messages["deadLetter"] = _dead_letter(TOPICS["dead-letters"])
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Headrace",
            "version": CONTRACT_VERSION,
            "description": "What a shop sends to Headrace, and what Headrace sends back. The prefix `headrace` of the topics is a setting.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "HEADRACE_KAFKA",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "Bootstrap server."}},
                "bindings": {"kafka": {"bindingVersion": BINDING_VERSION}},
            }
        },
        "channels": {_camel(topic.name): _channel(topic) for topic in PUBLISHED},
        "operations": {_operation_name(topic): _operation(topic) for topic in PUBLISHED},
        "components": {"messages": messages, "messageTraits": {"cloudEvents": _cloud_events()}},
    }


def _names(short: str) -> tuple[str, ...]:
    if short in EVENTS:
        return tuple(EVENTS[short])
    return OUT.get(short, ("DeadLetter",))


def _camel(name: str) -> str:
    """An identifier: "content.email" -> "contentEmail", "Product Viewed" -> "productViewed"."""
    first, *rest = re.split(r"[^A-Za-z0-9]+", name)
    return first[0].lower() + first[1:] + "".join(part[0].upper() + part[1:] for part in rest)


def _channel(topic: Topic) -> dict[str, Any]:
    config: dict[str, Any] = {name: int(value) if value.isdigit() else value for name, value in topic.config.items()}
    config["cleanup.policy"] = [topic.cleanup]
    return {
        "address": full_name(topic.name),
        "description": topic.holds,
        "messages": {_camel(name): {"$ref": f"#/components/messages/{_camel(name)}"} for name in _names(topic.name)},
        "servers": [{"$ref": "#/servers/kafka"}],
        "bindings": {
            "kafka": {
                "topic": full_name(topic.name),
                "partitions": topic.partitions,
                "topicConfiguration": config,
                "bindingVersion": BINDING_VERSION,
            }
        },
    }


def _operation_name(topic: Topic) -> str:
    name = _camel(topic.name)
    return ("receive" if topic.direction == "in" else "send") + name[0].upper() + name[1:]


def _operation(topic: Topic) -> dict[str, Any]:
    channel = _camel(topic.name)
    return {
        "action": "receive" if topic.direction == "in" else "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": f"Headrace {'reads' if topic.direction == 'in' else 'writes'} {topic.holds}.",
        "messages": [{"$ref": f"#/channels/{channel}/messages/{_camel(name)}"} for name in _names(topic.name)],
        "bindings": {"kafka": {"bindingVersion": BINDING_VERSION}},
    }


def _message(name: str, topic: Topic, file_name: Callable[[str], str]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": name,
        "title": name,
        "contentType": "application/json",
        "payload": {"$ref": f"./schemas/json/{file_name(name)}"},
        "bindings": {"kafka": {"key": {**_ID, "description": topic.key}, "bindingVersion": BINDING_VERSION}},
    }
    if topic.direction == "out":
        message["traits"] = [{"$ref": "#/components/messageTraits/cloudEvents"}]
    return message


def _cloud_events() -> dict[str, Any]:
    """CloudEvents 1.0 in Kafka's binary mode."""
    names = ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type")
    properties: dict[str, Any] = {name: {"type": "string"} for name in names}
    properties["ce_specversion"] = {"const": "1.0"}
    properties["ce_id"] = {"type": "string", "description": "A repeat of the same effect has the same id: drop it."}
    properties["ce_time"] = {"type": "string", "format": "date-time"}
    return {"headers": {"type": "object", "required": list(names), "properties": properties}}


def _dead_letter(topic: Topic) -> dict[str, Any]:
    names = [f"dlq.{name}" for name in _DEAD_LETTER]
    properties: dict[str, Any] = {name: {"type": "string"} for name in names}
    properties["dlq.reason"] = {"enum": list(DEAD_LETTER_REASONS)}
    return {
        "name": "DeadLetter",
        "title": "DeadLetter",
        "summary": "The original bytes of a record that failed, under its original key and headers.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "required": [*names, "dlq.reason"], "properties": properties},
        "payload": {"description": "Any bytes: what came, unchanged."},
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": BINDING_VERSION}},
    }
