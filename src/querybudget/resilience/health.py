"""How the store is: for the guard that counts, and for people who watch the server."""

from __future__ import annotations

import enum

import msgspec

from querybudget.units import Micros


class Health(enum.StrEnum):
    """Whether calls can be decided."""

    OK = "ok"
    DEGRADED = "degraded"
    """The store is down. Calls are allowed, or each worker counts them alone."""
    DOWN = "down"
    """The store is down, and a budget refuses calls meanwhile."""


class StoreStats(msgspec.Struct):
    """What this process counts about its store.

    Attributes:
        since: When the store went down or came up, µs since the epoch.
        failures: Failed requests, time-outs included.
        timeouts: Requests without an answer in time.
        without_store: Calls decided without the store.
        last_error: Why the last failed request failed; empty if none has.
        healthy: Whether the last answer was in time and right, or none has been asked for.
        guarded: Whether requests may wait, and are made through the guard: the store may, or its
            last answer was wrong or late.
    """

    since: Micros
    failures: int = 0
    timeouts: int = 0
    without_store: int = 0
    last_error: str = ""
    healthy: bool = True
    guarded: bool = False

    def turn(self, *, healthy: bool, waits: bool) -> None:
        """Note how the last answer was; `waits` says whether the store may wait for its own."""
        self.healthy, self.guarded = healthy, waits or not healthy


class StoreHealth(msgspec.Struct, frozen=True):
    """How the store is, as this process sees it. It names no caller and contains no secret.

    Attributes:
        status: Whether calls can be decided.
        store: Scheme of the store's URL, or the name of its class.
        since: When it went down or came up, µs since the epoch.
        failures: Failed requests, time-outs included.
        timeouts: Requests without an answer in time.
        without_store: Calls decided without it.
        local: Those of them that this worker decided by its share of the limits.
        outbox: Settlements, and usage of calls admitted without it, that wait for its return.
        dropped: Entries of the outbox that were lost: it was full, or the store never took them.
        refused: Budgets of calls admitted without it that it refused to charge: they were in debt.
        last_error: Why it failed last, without passwords; empty if it never has.
    """

    status: Health
    store: str
    since: Micros
    failures: int = 0
    timeouts: int = 0
    without_store: int = 0
    local: int = 0
    outbox: int = 0
    dropped: int = 0
    refused: int = 0
    last_error: str = ""
