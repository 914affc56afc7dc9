"""How a log is read: what its readers hash with, and whether they keep prompts."""

from __future__ import annotations

import msgspec

from querybudget.identity import KeyedHash


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
