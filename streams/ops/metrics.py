"""Every metric of a worker, by name, in a registry of its own. No label ever holds a user, message or decision id.

Counters of events keep invariant 1 checkable: in = applied + duplicate + dead, per topic.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

__all__ = ["Metrics"]

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LATENCY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metrics:
    """The metrics of one worker process. Two workers in one test do not share anything."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        ProcessCollector(registry=r)
        GCCollector(registry=r)

        # Events: topic is the short name ("click"), reason one of the closed list of dead-letter reasons.
        self.events_in = Counter("headrace_events_in", "Records taken from Kafka", ["topic"], registry=r)
        self.events_applied = Counter("headrace_events_applied", "Events whose effects are durable", ["topic"], registry=r)
        self.events_duplicate = Counter("headrace_events_duplicate", "Events applied before", ["topic"], registry=r)
        self.events_dead = Counter("headrace_events_dead", "Records sent to the dead letters", ["topic", "reason"], registry=r)
        self.events_late = Counter("headrace_events_late", "Events too old to trigger anything", ["topic"], registry=r)
        self.texts_cut = Counter("headrace_texts_cut", "Text fields longer than the limit", ["topic"], registry=r)

        # Work, by input topic (latency: by output topic). A step is a part of a batch: decode, compute, produce, store, settle.
        self.batch_size = Histogram("headrace_batch_size", "Records in a batch", ["topic"], buckets=SIZES, registry=r)
        self.batch_seconds = Histogram(
            "headrace_batch_seconds", "Time of one step of a batch", ["topic", "step"], buckets=SECONDS, registry=r
        )
        self.e2e_latency_seconds = Histogram(
            "headrace_e2e_latency_seconds", "From the event to its acknowledged output", ["topic"], buckets=LATENCY, registry=r
        )
        self.retries = Counter("headrace_retries", "Work tried again after a passing failure", ["step", "reason"], registry=r)
        self.conflicts = Counter("headrace_conflicts", "Profiles written meanwhile by another worker", ["topic"], registry=r)
        self.rebuilt_profiles = Counter("headrace_rebuilt_profiles", "Stored profiles that did not decode", registry=r)
        self.timers_fired = Counter("headrace_timers_fired", "Timers that came due", ["timer"], registry=r)
        self.last_progress_timestamp_seconds = Gauge(
            "headrace_last_progress_timestamp_seconds", "When this worker last finished a batch", ["topic"], registry=r
        )

        # Kafka. Every worker reports all partitions of its groups, so take the max over workers, not the sum.
        where = ["group", "topic", "partition"]
        self.consumer_lag = Gauge("headrace_consumer_lag", "Records not yet committed", where, registry=r)
        self.consumer_lag_seconds = Gauge(
            "headrace_consumer_lag_seconds", "Age of the oldest record not yet committed", where, registry=r
        )
        self.committed_offset = Gauge("headrace_committed_offset", "Next record to read by the group", where, registry=r)
        self.end_offset = Gauge("headrace_end_offset", "Next record to be written", where, registry=r)
        self.lag_polled_timestamp_seconds = Gauge(
            "headrace_lag_polled_timestamp_seconds", "When lag was last read from Kafka", registry=r
        )
        self.lag_poll_errors = Counter("headrace_lag_poll_errors", "Readings of lag that failed", registry=r)
        self.assigned_partitions = Gauge("headrace_assigned_partitions", "Partitions of this worker", ["group"], registry=r)
        self.rebalances = Counter("headrace_rebalances", "Rebalances of the group seen by this worker", registry=r)

        # Marketing.
        self.messages_out = Counter("headrace_messages_out", "Records published", ["topic"], registry=r)
        self.suppressions = Counter("headrace_suppressions", "Messages not sent", ["campaign", "reason"], registry=r)
        self.decisions = Counter("headrace_decisions", "Choices of the policy", ["factor", "arm"], registry=r)
        self.rewards = Counter("headrace_rewards", "Outcomes credited to a decision", ["kind"], registry=r)
        self.rewards_unknown = Counter("headrace_rewards_unknown", "Outcomes without a known decision", ["topic"], registry=r)

        # HTTP: status is that of the answer.
        self.api_requests = Counter("headrace_api_requests", "Recommendations asked for over HTTP", ["outcome"], registry=r)
        self.api_seconds = Histogram("headrace_api_seconds", "Time of an answer", buckets=SECONDS, registry=r)

        # Models: model is "encoder" or "generator", outcome "ok" or why not.
        self.model_requests = Counter("headrace_model_requests", "Calls of a model", ["model", "outcome"], registry=r)
        self.model_seconds = Histogram("headrace_model_seconds", "Time of a call", ["model"], buckets=SECONDS, registry=r)
        self.model_tokens = Counter("headrace_model_tokens", "Tokens generated", ["model"], registry=r)
        self.model_fallbacks = Counter(
            "headrace_model_fallbacks", "Copy that came from a template instead", ["model", "reason"], registry=r
        )

        self.ready = Gauge("headrace_ready", "1 when /ready says yes", registry=r)
        self.build_info = Gauge("headrace_build_info", "Always 1", ["version", "encoder", "generator"], registry=r)

    def names(self) -> set[str]:
        """Every sample name that a query may use."""
        names: set[str] = set()
        for family in self.registry.collect():
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
            names |= {family.name + suffix for suffix in suffixes}
        return names

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
