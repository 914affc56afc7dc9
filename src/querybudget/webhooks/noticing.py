"""`Webhooks`: a hook that tells your own systems what operators need to know at once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Self

from querybudget.events import DecidedBy, DecisionEvent, EventVerdict
from querybudget.policy.outputs import WebhookKind, WebhookSettings
from querybudget.stores import Clock
from querybudget.units import MICRO, SECOND, Unit
from querybudget.webhooks.delivery import Message, Sender

SAID = 10_000
"""Things that are remembered as said."""

SAMPLE = 100
"""Calls of a window before its share of disturbed ones means anything."""


class Webhooks:
    """Sends a signed message for each thing that happens, and for the same thing once in a while.

    Messages have keyed hashes and names of budgets, and nothing that callers sent.

    Args:
        url: Receives ``POST`` requests.
        secret: Signs them.
        events: The kinds that are sent; all by default.
        every: µs in which the same thing is said once.
        near: Millionths of a budget from which it is said to be nearly used up.
        disturbed: Millionths of the calls in `every` that may be refused, slowed or degraded.
        sender: Sends messages, in place of one for `url` and `secret`.

    Raises:
        SetupError: The URL is none, or the secret is empty.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        events: Sequence[str] = (),
        every: int = 3_600 * SECOND,
        near: int = 800_000,
        disturbed: int = 10_000,
        sender: Sender | None = None,
    ) -> None:
        self._sender = sender or Sender(url, secret)
        self._kinds = _kinds(events)
        self._every, self._near, self._disturbed = every, near, disturbed
        self._said = OrderedDict[tuple[str, ...], int]()
        self._down = False
        self._window = self._calls = self._harmed = 0

    @property
    def dropped(self) -> int:
        """Messages that were lost."""
        return self._sender.dropped

    @classmethod
    def of(cls, settings: WebhookSettings, clock: Clock | None = None) -> Self:
        """Return the webhooks that a policy asks for."""
        return cls(
            settings.url,
            settings.secret,
            events=[kind.value for kind in settings.events],
            every=settings.every,
            near=settings.near,
            disturbed=settings.disturbed,
            sender=Sender(settings.url, settings.secret, clock=clock),
        )

    def follow(self, settings: WebhookSettings) -> None:
        """Do as these settings say from now on, and remember what was said.

        Raises:
            SetupError: The URL is none, or the secret is empty. Nothing changes.
        """
        self._sender.address(settings.url, settings.secret)
        self._kinds = _kinds(settings.events)
        self._every, self._near = settings.every, settings.near
        self._disturbed = settings.disturbed

    def __call__(self, event: DecisionEvent) -> None:
        """Notice what an event shows."""
        self._notice_store(event)
        if event.violated or event.delay or event.stage != "none":
            self._notice_caller(event)
        self._notice_budgets(event)
        self._notice_disturbed(event)

    def _notice_caller(self, event: DecisionEvent) -> None:
        kind = WebhookKind.SLOWED if event.settlement else WebhookKind.REFUSED
        done = "slowed or degraded" if event.settlement else "refused"
        self._say(
            (kind, event.identity.key),
            event,
            f"A call of caller {event.identity.key[:12]} was {done}.",
            account=event.identity.key,
            tier=event.tier,
            budgets=event.violated,
        )

    def _notice_budgets(self, event: DecisionEvent) -> None:
        for status in event.decision.lines if event.decision is not None else ():
            quota, account = status.line.quota, status.line.partition
            if quota.unit is Unit.CONCURRENT or not quota.limit:
                continue
            used = (quota.limit - status.remaining) * MICRO // quota.limit
            if used >= self._near:
                self._say(
                    (WebhookKind.NEAR, quota.name, account),
                    event,
                    f"Budget {quota.name} of account {account[:40]} is {used // 10_000} % used.",
                    account=account,
                    budgets=(quota.name,),
                    share=used,
                )

    def _notice_store(self, event: DecisionEvent) -> None:
        down = event.store is DecidedBy.LOCAL or event.verdict is EventVerdict.STORE_ERROR
        if down and not self._down:
            self._down = True
            self._say((WebhookKind.STORE_DOWN,), event, "The store does not answer.")
        elif self._down and event.store is DecidedBy.SHARED and not down:
            self._down = False
            self._say((WebhookKind.STORE_UP,), event, "The store answers again.")

    def _notice_disturbed(self, event: DecisionEvent) -> None:
        if event.at - self._window >= self._every:
            self._window, self._calls, self._harmed = event.at, 0, 0
        self._calls += 1
        self._harmed += not event.settlement or bool(event.delay) or event.stage != "none"
        share = self._harmed * MICRO // self._calls
        if self._calls >= SAMPLE and share > self._disturbed:
            text = f"{share / 10_000:g} % of {self._calls} calls were refused, slowed or degraded."
            self._say((WebhookKind.DISTURBED,), event, text, share=share)

    def _say(
        self,
        thing: tuple[WebhookKind, *tuple[str, ...]],
        event: DecisionEvent,
        text: str,
        *,
        account: str = "",
        tier: str = "",
        budgets: tuple[str, ...] = (),
        share: int = 0,
    ) -> None:
        """Send a message about a thing, unless it was said a short while ago."""
        last = self._said.get(thing)
        if thing[0] not in self._kinds or (last is not None and event.at - last < self._every):
            return
        self._said.pop(thing, None)
        self._said[thing] = event.at
        if len(self._said) > SAID:
            self._said.popitem(last=False)
        name = hashlib.sha256("|".join((*thing, str(event.at), event.request_id)).encode())
        message = Message(
            id=f"msg_{name.hexdigest()[:32]}",
            kind=thing[0].value,
            at=event.at,
            text=text,
            account=account,
            tier=tier,
            request_id=event.request_id,
            budgets=budgets,
            policy=event.policy,
            share=share,
        )
        self._sender.send(message)

    async def aclose(self) -> None:
        """Try each message that waits once more, for a few seconds."""
        await self._sender.aclose()


def _kinds(events: Sequence[str]) -> frozenset[WebhookKind]:
    return frozenset(map(WebhookKind, events)) or frozenset(WebhookKind)
