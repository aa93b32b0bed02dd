"""A circuit breaker: sending goes on, by template, while a model is down."""

from __future__ import annotations

__all__ = ["Breaker"]


class Breaker:
    """Stops asking a model that keeps failing, and tries again after a while. Time comes in."""

    def __init__(self, *, failures: int = 3, cooldown_s: float = 300.0) -> None:
        self.failures, self.cooldown_s = failures, cooldown_s
        self.in_row, self.open_until = 0, float("-inf")

    def allows(self, now: float) -> bool:
        return now >= self.open_until

    def failed(self, now: float) -> None:
        self.in_row += 1
        if self.in_row >= self.failures:
            self.open_until = now + self.cooldown_s

    def succeeded(self) -> None:
        self.in_row, self.open_until = 0, float("-inf")
