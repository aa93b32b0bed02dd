"""The first words with Redis and Kafka: within ten seconds they answer, or one line says what to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from aiokafka import AIOKafkaClient
from aiokafka.errors import KafkaError

from schemas.errors import FatalError, PipelineError, TransientError
from streams.settings import Settings, without_password
from streams.store import Store

__all__ = ["Unreachable", "check_kafka", "connect_store", "together"]

CONNECT_TIMEOUT_S = 6.0


class Unreachable(FatalError):
    """A server that a start needs is not there, or takes no writes: a later start may find it otherwise."""


async def together(*meetings: Coroutine[Any, Any, Any]) -> None:
    """All side by side, each to its end, so that nobody waits twice and nothing stays open; then the first error is raised."""
    for met in await asyncio.gather(*meetings, return_exceptions=True):
        if isinstance(met, BaseException):
            raise met


async def connect_store(store: Store, settings: Settings) -> None:
    """Open `store`. FatalError in one line when Redis does not answer, not to us, or takes no writes."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await store.open()
            await store.ping()
    except TimeoutError as error:
        raise Unreachable(f"Redis at {without_password(settings.redis)} does not answer: check HEADRACE_REDIS") from error
    except TransientError as error:
        raise Unreachable(f"{error} (HEADRACE_REDIS)") from error
    except PipelineError as error:
        raise FatalError(f"{error} (HEADRACE_REDIS)") from error


async def check_kafka(settings: Settings) -> None:
    """FatalError in one line when no broker answers, or not to us."""
    client = AIOKafkaClient(request_timeout_ms=5000, **settings.kafka_client())
    overheard = Overheard()
    logging.getLogger("aiokafka").addFilter(overheard)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await client.bootstrap()
    except (KafkaError, TimeoutError, OSError) as error:
        raise explained(settings, overheard.causes or [error]) from error
    finally:
        logging.getLogger("aiokafka").removeFilter(overheard)
        await client.close()


class Overheard(logging.Filter):
    """aiokafka writes the cause into its log and raises another error: it is said once, by us."""

    def __init__(self) -> None:
        super().__init__()
        self.causes: list[BaseException] = []

    def filter(self, record: logging.LogRecord) -> bool:
        found = [one for one in record.args or () if isinstance(one, BaseException)] if isinstance(record.args, tuple) else []
        self.causes += found
        return not found


def explained(settings: Settings, causes: Sequence[BaseException]) -> FatalError:
    """What to do about it, in one line."""
    where, kinds = f"Kafka at {settings.kafka}", {type(cause).__name__ for cause in causes}
    if kinds & {"SaslAuthenticationFailed", "AuthenticationFailedError"}:
        return FatalError(f"{where} refused the user or password: correct HEADRACE_KAFKA_USERNAME and HEADRACE_KAFKA_PASSWORD")
    if kinds & {"UnsupportedSaslMechanismError", "IllegalSaslStateError"}:
        return FatalError(
            f"{where} does not know {settings.kafka_mechanism} there: correct HEADRACE_KAFKA_MECHANISM, or the port"
        )
    if kinds & {"SSLError", "SSLCertVerificationError"}:
        return FatalError(f"{where} cannot be trusted ({causes[-1]}): correct HEADRACE_KAFKA_CAFILE, or the port")
    last = causes[-1]
    said = f"{type(last).__name__}: {last}" if isinstance(last, OSError) and str(last) else type(last).__name__
    return Unreachable(f"{where} does not answer ({said}): check HEADRACE_KAFKA")
