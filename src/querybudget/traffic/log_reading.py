"""How a log is read: what its readers hash with, whether they keep prompts, and what stops them."""

from __future__ import annotations

import msgspec

from querybudget.identity import KeyedHash


class UnrelatedLineError(ValueError):
    """A line that is no record and need not be one: a server logs other things too.

    Args:
        own: Whether the line has the form of that server's.
    """

    def __init__(self, *, own: bool) -> None:
        super().__init__("no line about a request")
        self.own = own


class NoTimeError(ValueError):
    """A line of a known form, but without a time that can be read."""

    def __init__(self, message: str = "no time that can be read") -> None:
        super().__init__(message)


class SumsError(ValueError):
    """A row that adds up many calls: when each was made is lost."""

    def __init__(self) -> None:
        super().__init__(
            "sums over many calls, which cannot be replayed: export single requests, each with its"
            " time"
        )


class Reading(msgspec.Struct, frozen=True):
    """What readers of foreign logs need to know.

    Attributes:
        hashed: Hashes the names of callers, which no record has as they are.
        prompts: Whether records have what the model read.
        year: The year in which times begin that have none; None for the latest possible.
        latest: When the log was written at the latest, µs since the epoch.
    """

    hashed: KeyedHash
    prompts: bool = False
    year: int | None = None
    latest: int = 0
