"""How a log is read: what its readers hash with, and whether they keep prompts."""

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


class Reading(msgspec.Struct, frozen=True):
    """What readers of foreign logs need to know.

    Attributes:
        hashed: Hashes the names of callers, which no record has as they are.
        prompts: Whether records have what the model read.
        year: The year of times that have none.
    """

    hashed: KeyedHash
    prompts: bool = False
    year: int = 1970
