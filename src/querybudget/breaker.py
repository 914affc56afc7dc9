"""A circuit breaker: stop sending requests to what is down, and probe it once in a while."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["CircuitBreaker"]

logger = logging.getLogger("querybudget")


class CircuitBreaker:
    """Opens after consecutive failures; while open, allows one probe in each rest.

    It logs one line when it opens and one when it closes.

    Args:
        name: Name used in log lines; empty if the caller logs itself.
        failures: Consecutive failures that open the breaker.
        rest: µs from its opening, or from a failed probe, to the next probe.
        clock: µs, monotonic.
    """

    def __init__(self, name: str, failures: int, rest: int, clock: Callable[[], int]) -> None:
        self._name = name
        self._limit = failures
        self._rest = rest
        self._clock = clock
        self._failures = 0
        self._probe_at: int | None = None

    def allow_request(self) -> bool:
        """Return True if a request may be sent.

        The caller must then report `record_success` or `record_failure`.
        """
        if self._probe_at is None:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self._probe_at = now + self._rest  # this request is the probe: no other until the next rest
        return True

    @property
    def would_allow(self) -> bool:
        """Whether a request would be allowed now. Asking does not use up the probe."""
        return self._probe_at is None or self._clock() >= self._probe_at

    @property
    def is_open(self) -> bool:
        """Whether requests are held back, except for a probe in each rest."""
        return self._probe_at is not None

    @property
    def healthy(self) -> bool:
        """Whether the last request that ended succeeded, or none has ended yet."""
        return not self._failures

    def record_success(self) -> bool:
        """Record that a request was answered. Return True if this closed the breaker."""
        self._failures = 0
        if self._probe_at is None:
            return False
        self._probe_at = None
        if self._name:
            logger.warning("%s answers again", self._name)
        return True

    def record_failure(self, why: str) -> bool:
        """Record that a request failed. Return True if this opened the breaker."""
        self._failures += 1
        if self._probe_at is not None:
            self._probe_at = self._clock() + self._rest
            return False
        if self._failures < self._limit:
            return False
        self._probe_at = self._clock() + self._rest
        if self._name:
            logger.warning("%s is down (%s); requests to it are paused", self._name, why)
        return True
