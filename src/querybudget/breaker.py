"""A circuit breaker: what is down is left alone for a while, then tried with one request."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["CircuitBreaker"]

_log = logging.getLogger("querybudget")


class CircuitBreaker:
    """Opens after some failures in a row; lets one probe through when it has rested.

    One line is logged each time it opens and each time it closes, and none in between.

    Args:
        what: What it guards, for the log; empty where whoever asks it tells of it.
        failures: So many in a row open it.
        rest: µs from its opening, or from a probe that failed, to the next probe.
        clock: µs, monotonic.
    """

    def __init__(self, what: str, failures: int, rest: int, clock: Callable[[], int]) -> None:
        self._what = what
        self._most = failures
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
        self._probe_at = now + self._rest  # the probe is under way: nobody else until it rested
        return True

    @property
    def would_allow(self) -> bool:
        """Whether a request might go now, without taking the probe."""
        return self._probe_at is None or self._clock() >= self._probe_at

    @property
    def is_open(self) -> bool:
        """Whether it is open: what it guards is left alone, but for a probe now and then."""
        return self._probe_at is not None

    @property
    def healthy(self) -> bool:
        """Whether the last request that has ended was answered, or none has ended yet."""
        return not self._failures

    def record_success(self) -> bool:
        """A request was answered. Whether that closed it."""
        self._failures = 0
        if self._probe_at is None:
            return False
        self._probe_at = None
        if self._what:
            _log.warning("%s answers again", self._what)
        return True

    def record_failure(self, why: str) -> bool:
        """A request was not answered, or with nonsense. Whether that opened it."""
        self._failures += 1
        if self._probe_at is not None:
            self._probe_at = self._clock() + self._rest
            return False
        if self._failures < self._most:
            return False
        self._probe_at = self._clock() + self._rest
        if self._what:
            _log.warning("%s fails (%s) and is left alone for a while", self._what, why)
        return True
