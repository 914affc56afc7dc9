"""How the store is, for whoever watches the server."""

from __future__ import annotations

import enum

import msgspec

__all__ = ["Health", "StoreHealth"]


class Health(enum.StrEnum):
    """Whether calls can be decided."""

    OK = "ok"
    DEGRADED = "degraded"
    """The store is down, and calls go on without it: allowed, or counted by each worker alone."""
    DOWN = "down"
    """The store is down, and a budget refuses calls meanwhile."""


class StoreHealth(msgspec.Struct, frozen=True):
    """How the store is, as this process sees it. It names no caller and holds no secret.

    Attributes:
        status: Whether calls can be decided.
        store: Scheme of the store's URL, or the name of its class.
        since: When it went down or came up, µs since the epoch.
        failures: How often it failed, time-outs included.
        timeouts: How often it did not answer in time.
        without_store: Calls decided without it.
        local: Those of them that this worker decided by its share of the limits.
        outbox: What it is to be told when it answers: calls used without it, and settlements.
        dropped: What it will not be told any more: there was no room to remember it.
        refused: Budgets of calls used without it that it refused to charge: they were in debt.
        last_error: Why it failed last, without passwords; empty where it never has.
    """

    status: Health
    store: str
    since: int
    failures: int = 0
    timeouts: int = 0
    without_store: int = 0
    local: int = 0
    outbox: int = 0
    dropped: int = 0
    refused: int = 0
    last_error: str = ""
