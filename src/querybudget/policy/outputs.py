"""What a server writes about its calls."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from querybudget.policy.fields import Duration, Size, between, doc
from querybudget.units import SECOND

DAY = 86_400 * SECOND


class Rotation(Struct, frozen=True):
    """When a process begins the next file of a log, and how many files are kept."""

    size: Annotated[Size, doc("Compressed, on disk.")] = 100 << 20
    every: Annotated[Duration, doc("After its first line.")] = DAY
    keep: Annotated[
        int, between(1, 100_000), doc("Files of all processes together; the oldest are deleted.")
    ] = 100


class TrafficLogSettings(Struct, frozen=True):
    """Where each call is written, as a line of JSON."""

    path: Annotated[
        str, doc("For example `/var/log/querybudget/traffic.jsonl.gz`; `.gz` and `.zst` compress.")
    ] = ""
    prompts: Annotated[bool, doc("Whether what the model reads is written too, in plain text.")] = (
        False
    )
    rotate: Rotation = Rotation()
