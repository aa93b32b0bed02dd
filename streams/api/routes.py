"""`GET /recommendations/{user}` and `/openapi.json`: from a request to an answer, every refusal in words."""

from __future__ import annotations

import logging
import time
import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from schemas.codec import encode
from schemas.errors import PipelineError
from streams.api.answer import answer
from streams.api.openapi import document
from streams.api.query import QueryError, read
from streams.pipeline import Pipeline

log = logging.getLogger(__name__)

MAX_IN_WORK = 64  # more would only wait for each other
RETRY_AFTER_S = 1


class Api:
    """The routes over one pipeline."""

    def __init__(self, pipeline: Pipeline, *, secured: bool) -> None:
        self.pipeline = pipeline
        self.document = document(secured=secured)
        self.in_work = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/openapi.json", self.openapi),
            web.get("/recommendations/{user}", self.recommendations),
        ]

    async def openapi(self, _request: web.Request) -> web.Response:
        return web.json_response(self.document)

    async def recommendations(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        response = await self._answered(request)
        self.pipeline.metrics.api_requests.labels(str(response.status)).inc()
        self.pipeline.metrics.api_seconds.observe(time.perf_counter() - started)
        response.headers["Cache-Control"] = "no-store"  # made for one shopper, and true for seconds
        return response

    async def _answered(self, request: web.Request) -> web.Response:
        if self.in_work >= MAX_IN_WORK:
            return refusal(503, "too many requests are in work")
        self.in_work += 1
        try:
            given = {name: request.query.getall(name) for name in request.query}
            asked = request.headers.get("X-Request-Id") or str(uuid.uuid4())
            query = read(request.match_info["user"], given, request_id=asked)
            message = await answer(self.pipeline, query)
            return web.Response(body=encode(message), content_type="application/json", headers={"X-Request-Id": asked})
        except QueryError as error:
            return refusal(400, "the request cannot be answered as it stands", error.problems)
        except PipelineError as error:  # what did not become durable is not answered: a decision must not get lost
            log.warning("cannot answer: %s", error)
            return refusal(503, "Redis or Kafka does not answer")
        finally:
            self.in_work -= 1


def refusal(status: int, error: str, problems: list[str] | None = None) -> web.Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    return web.json_response({"error": error} | ({"problems": problems} if problems else {}), status=status, headers=headers)


@web.middleware
async def in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What aiohttp or the guard refuse (no such path, no token), as JSON too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {name: value for name, value in error.headers.items() if name not in ("Content-Type", "Content-Length")}
        return web.json_response({"error": (error.text or error.reason).strip()}, status=error.status, headers=kept)
