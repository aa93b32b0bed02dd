"""The first words with Redis and Kafka: within ten seconds they answer, or one line says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaClient
from aiokafka.errors import AuthenticationFailedError, KafkaError

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
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await client.bootstrap()
    except AuthenticationFailedError as error:
        raise FatalError(
            f"Kafka at {settings.kafka} refused the user or password: correct HEADRACE_KAFKA_USERNAME and HEADRACE_KAFKA_PASSWORD"
        ) from error
    except (KafkaError, TimeoutError, OSError) as error:
        raise Unreachable(f"Kafka at {settings.kafka} does not answer ({type(error).__name__}): check HEADRACE_KAFKA") from error
    finally:
        await client.close()
