"""The transport overrides internals of three pinned packages: when one of them changes, this says which, before a worker does."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer.consumer import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import SubscriptionState
from faust import App
from faust.serializers.schemas import Schema
from faust.tables.manager import TableManager
from faust.transport import consumer as faust_consumer
from faust.transport.conductor import Conductor
from faust.transport.drivers import TRANSPORTS
from faust.transport.drivers import aiokafka as driver
from faust.types import Message

PINS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}

OVERRIDDEN = {  # what we replace, with the arguments that its callers give
    driver.AIOKafkaConsumerThread._create_worker_consumer: ["self", "transport"],
    faust_consumer.Consumer.getmany: ["self", "timeout"],
    faust_consumer.Consumer._filter_tps_with_pending_acks: ["self", "topics"],
    faust_consumer.Consumer._new_offset: ["self", "tp"],
    faust_consumer.Consumer._add_gap: ["self", "tp", "offset_from", "offset_to"],
    faust_consumer.Consumer.on_partitions_revoked: ["self", "revoked"],
    faust_consumer.Consumer.perform_seek: ["self"],
    faust_consumer.Consumer.resume_partitions: ["self", "tps"],
    faust_consumer.Consumer.wait_empty: ["self"],
    faust_consumer.Consumer.on_stop: ["self"],
    driver.Consumer._new_consumer_thread: ["self"],
    App._create_directories: ["self"],
    TableManager.on_start: ["self"],
    Schema.compile: ["self", "app", "on_key_decode_error", "on_value_decode_error", "default_propagate"],
}

CALLED = {  # what we call that is not public
    TableManager._update_channels: ["self"],
    Fetcher.fetched_records: ["self", "partitions", "timeout", "max_records"],
    Fetcher._create_fetch_waiter: ["self"],
    SubscriptionState.fetch_context: ["self"],
    faust_consumer.Consumer._get_active_partitions: ["self"],
    faust_consumer.Consumer._wait_for_ack: ["self", "timeout"],
    faust_consumer.Consumer._clean_unacked_messages: ["self"],
    faust_consumer.Consumer.commit_and_end_transactions: ["self"],
    faust_consumer.ThreadDelegateConsumer.seek_wait: ["self", "partitions"],
}

USED = {  # attributes that we read or set, and the code that has them
    Fetcher: ["self._records", "self._closed", "self._subscriptions", "self._max_partition_fetch_bytes"],
    AIOKafkaConsumer: ["self._fetch_max_wait_ms", "self._fetch_max_bytes", "self._fetcher", "self._subscription", "self._closed"],
    faust_consumer.Consumer: [
        "self._acked",
        "self._acked_index",
        "self._read_offset",
        "self._committed_offset",
        "self._unacked_messages",
        "self._buffered_partitions",
        "self.flow_active",
        "self.can_resume_flow",
    ],
    Conductor: ["self._topic_name_index"],
    SubscriptionState: ["self._subscription"],
}


@pytest.mark.parametrize(("package", "pinned"), PINS.items())
def test_the_package_is_the_one_the_transport_was_written_for(package: str, pinned: str) -> None:
    assert version(package) == pinned
    assert f'"{package}=={pinned}"' in (Path(__file__).parents[2] / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("function", "arguments"), {**OVERRIDDEN, **CALLED}.items(), ids=lambda it: getattr(it, "__qualname__", "")
)
def test_it_takes_the_arguments_it_took(function: Callable[..., Any], arguments: list[str]) -> None:
    assert list(inspect.signature(inspect.unwrap(function)).parameters) == arguments


@pytest.mark.parametrize(("owner", "names"), USED.items(), ids=lambda it: getattr(it, "__name__", ""))
def test_it_has_the_attributes_it_had(owner: type, names: list[str]) -> None:
    source = Path(inspect.getfile(owner)).read_text()

    assert [name for name in names if name not in source] == []


def test_a_fetch_result_goes_on_until_it_is_drained() -> None:
    source = Path(inspect.getfile(Fetcher)).read_text()

    assert "getall(max_records)" in source
    assert "has_more()" in source


def test_streams_mark_an_acked_message_by_its_attribute() -> None:
    """BatchMessage listens there, because Cython streams do not call the consumer."""
    assert "acked" in Message.__slots__
    assert "message.acked = True" in Path(inspect.getfile(faust_consumer.Consumer)).read_text()


def test_faust_looks_transports_up_by_alias() -> None:
    assert TRANSPORTS.aliases["kafka"] == "faust.transport.drivers.aiokafka:Transport"
