"""Kafka for Faust, in batches: one Faust message is a list of records of one partition."""

from streams.record import Batch, Record
from streams.transport.app import App, BatchSchema, credentials, install, new_app
from streams.transport.batching import Batching

__all__ = ["App", "Batch", "BatchSchema", "Batching", "Record", "credentials", "install", "new_app"]
