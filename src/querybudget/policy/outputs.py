"""What a server writes about its calls, and what it sends."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta, Struct

from querybudget.policy.fields import Duration, Share, Size, between, doc, required
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
        str,
        required(),
        doc("Such as `/var/log/traffic.jsonl.gz`; `.gz` and `.zst` compress."),
    ] = ""
    prompts: Annotated[bool, doc("Whether what the model reads is written too, in plain text.")] = (
        False
    )
    rotate: Rotation = Rotation()


class WebhookKind(enum.StrEnum):
    """What a webhook is about."""

    REFUSED = "refused"
    """The first refused call of a caller in a while."""
    SLOWED = "slowed"
    """The first call of a caller that was slowed or degraded."""
    NEAR = "budget_near"
    """An account has used most of a budget, a pool's too."""
    STORE_DOWN = "store_down"
    STORE_UP = "store_up"
    DISTURBED = "disturbed"
    """More of all calls than usual were refused, slowed or degraded."""


class WebhookSettings(Struct, frozen=True):
    """Where signed messages are sent about what operators need to know at once."""

    url: Annotated[str, required(), doc("Receives `POST` requests.")] = ""
    secret: Annotated[str, required(), doc("Signs them: at least 16 bytes.")] = ""
    events: Annotated[tuple[WebhookKind, ...], doc("What is sent; all of it by default.")] = ()
    every: Annotated[Duration, doc("The same thing is said once in this time.")] = 3_600 * SECOND
    near: Annotated[Share, doc("Of a budget, from which `budget_near` is sent.")] = 800_000
    disturbed: Annotated[Share, doc("Of all calls, above which `disturbed` is sent.")] = 10_000

    def __repr__(self) -> str:
        return f"{type(self).__name__}(events={self.events!r})"


WebhooksItem = Annotated[
    WebhookSettings, doc("Sends signed messages about refusals, budgets and the store.")
]

TrafficLogItem = Annotated[
    TrafficLogSettings,
    doc("Writes each call as a line of JSON: a path, or a mapping."),
    Meta(extra={"short": "path", "expected": "the path of a traffic log"}),
]
