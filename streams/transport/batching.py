"""How much at once."""

from dataclasses import dataclass

__all__ = ["Batching"]


@dataclass(frozen=True, kw_only=True)
class Batching:
    """Limits of the transport. A batch is closed by whichever of `records` and `bytes` comes first."""

    records: int = 1000
    bytes: int = 4 * 1024 * 1024  # a single larger record is a batch of its own
    buffer_bytes: int = (
        64 * 1024 * 1024
    )  # batches waiting and with agents (past it by one fetch of a partition), as much again raw
    open: int = 1  # batches that the agents of a lane hold at a time
    drain_s: float = 20.0  # how long a rebalance or a stop waits for the batches in work
    urgent: frozenset[str] = frozenset()  # full names of topics that never wait behind others for more than one batch

    def __post_init__(self) -> None:
        for name in ("records", "bytes", "buffer_bytes", "open", "drain_s"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
