"""`/health`, `/ready` and `/metrics` of a worker, and the rim on which a console can hang its own routes.

The three probes are public and hold nothing about a shopper. Every other path needs the bearer token; where none is set, it
is answered on loopback only, and only for a loopback Host header (so that a web page cannot reach it through DNS).
"""

import errno
import hmac
import logging
from collections.abc import Iterable
from dataclasses import asdict

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from schemas.errors import FatalError
from streams.ops.health import Health
from streams.ops.metrics import Metrics

__all__ = ["Server", "application", "serve"]

log = logging.getLogger(__name__)

PUBLIC = ("/health", "/ready", "/metrics")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def application(
    health: Health,
    metrics: Metrics,
    *,
    token: str = "",
    routes: Iterable[web.RouteDef] = (),
    variable: str = "HEADRACE_TOKEN",
    public: Iterable[str] = (),
) -> web.Application:
    """The probes plus `routes`, which stand behind the token of `variable`, but for the paths that are `public`."""

    async def alive(_request: web.Request) -> web.Response:
        stuck = health.stuck()
        return web.json_response({"ok": stuck is None, "detail": stuck or "ok"}, status=503 if stuck else 200)

    async def ready(_request: web.Request) -> web.Response:
        answer = await health.ready()
        checks = {name: asdict(check) for name, check in answer.checks.items()}
        body = {"ok": answer.ok, "missing": answer.missing, "checks": checks}
        return web.json_response(body, status=200 if answer.ok else 503)

    async def numbers(_request: web.Request) -> web.Response:
        metrics.ready.set((await health.ready()).ok)
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(middlewares=[guard(token, variable=variable, public=(*PUBLIC, *public))])
    app.add_routes([web.get("/health", alive), web.get("/ready", ready), web.get("/metrics", numbers), *routes])
    return app


def guard(token: str, *, variable: str = "HEADRACE_TOKEN", public: Iterable[str] = PUBLIC) -> Middleware:
    """Lets probes through, and the rest only with the token or, where there is none, from this machine."""
    open_paths = frozenset(public)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in open_paths:
            return await handler(request)
        if token:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), token.encode()):
                raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"}, text="a bearer token is needed\n")
        elif request.remote not in LOOPBACK or request.url.host not in LOOPBACK:
            raise web.HTTPForbidden(text=f"set {variable} to reach this page from another machine\n")
        return await handler(request)

    return check


class Server:
    """A running web server; `port` is the real one where 0 was asked for."""

    def __init__(self, runner: web.AppRunner, *, host: str, port: int) -> None:
        self.runner, self.host, self.port = runner, host, port

    async def stop(self) -> None:
        await self.runner.cleanup()


async def serve(app: web.Application, *, host: str, port: int) -> Server:
    """Start serving. FatalError in one line where the address cannot be had."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        cause = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise FatalError(f"{host}:{port} {cause}: set HEADRACE_WEB_PORT to another port, or to 0 for any free one") from error
    server = Server(runner, host=host, port=runner.addresses[0][1])
    log.info("serving health and metrics", extra={"url": f"http://{host}:{server.port}"})
    return server
