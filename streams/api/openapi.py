"""The OpenAPI 3.1 document of the API, made from the structs that are really sent."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from schemas.asyncapi import CONTRACT_VERSION
from schemas.limits import MAX_ID_BYTES, MAX_PRODUCTS
from schemas.messages import Recommended
from streams.api.query import DEFAULT_ITEMS, MAX_ITEMS, REQUEST_ID, SURFACE

PATH: Final = "/recommendations/{user}"


def document(*, secured: bool) -> dict[str, Any]:
    """The whole document; `secured`: a bearer token is asked for."""
    (_,), schemas = msgspec.json.schema_components([Recommended], ref_template="#/components/schemas/{name}")
    schemas["Problem"] = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "string"},
            "problems": {"type": "array", "items": {"type": "string"}, "description": "Everything that is wrong, at once."},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace recommendations",
            "version": CONTRACT_VERSION,
            "description": "What to show a shopper now: fresh, in stock, allowed, and with a true reason.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {PATH: {"get": _operation(secured=secured)}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "HEADRACE_API_TOKEN"}},
        },
    }


def _operation(*, secured: bool) -> dict[str, Any]:
    parameters = [
        {
            "name": "user",
            "in": "path",
            "required": True,
            "description": f"The userId, or the anonymousId of a visit; at most {MAX_ID_BYTES} bytes. Nobody is unknown: "
            "without a history there is the list of a cold start.",
            "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID_BYTES},
        },
        _query(
            "surface", "Where the list is shown; rules and the learnt position effect go by it.", "home", pattern=SURFACE.pattern
        ),
        _query("n", "How many products at most.", DEFAULT_ITEMS, kind="integer", minimum=1, maximum=MAX_ITEMS),
        {
            "name": "exclude",
            "in": "query",
            "description": f"Product ids that are on the page already, separated by commas; at most {MAX_PRODUCTS}.",
            "style": "form",
            "explode": False,
            "schema": {"type": "array", "items": {"type": "string"}, "maxItems": MAX_PRODUCTS},
        },
        {
            "name": "session",
            "in": "query",
            "description": "The anonymousId of this visit, where the shopper signed in only just now.",
            "schema": {"type": "string", "maxLength": MAX_ID_BYTES},
        },
        {
            "name": "X-Request-Id",
            "in": "header",
            "description": "Repeated with the same value, a request has the same ids and draws the same.",
            "schema": {"type": "string", "pattern": f"^{REQUEST_ID.pattern}$"},
        },
    ]
    operation: dict[str, Any] = {
        "operationId": "recommend",
        "summary": "What to show this shopper now",
        "description": "The list is decided, logged with its probabilities, and answered. Report it shown with a Product List Viewed "
        "event whose `list_id` is the `decision_id`, and bring the `decision_token` of an item back with its click.",
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "The list, best first; empty only where the shop has nothing that may be shown.",
                "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Recommended"}}},
            },
            "400": _problem("The request is wrong; `problems` names everything at once."),
            "401": _problem("The bearer token is missing or wrong."),
            "403": _problem("No token is set, and the request comes from another machine."),
            "503": _problem("Redis or Kafka does not answer, or too many requests are in work: try again after `Retry-After`."),
        },
    }
    if secured:
        operation["security"] = [{"token": []}]
    return operation


def _query(name: str, description: str, default: str | int, *, kind: str = "string", **limits: Any) -> dict[str, Any]:
    if "pattern" in limits:
        limits["pattern"] = f"^{limits['pattern']}$"
    return {"name": name, "in": "query", "description": description, "schema": {"type": kind, "default": default, **limits}}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
