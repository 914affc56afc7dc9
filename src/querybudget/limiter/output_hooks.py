"""What a policy has its server write and send, from one policy to the next."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING

from querybudget.events import Hook
from querybudget.policy.model import Policy
from querybudget.policy.outputs import TrafficLogSettings, WebhookSettings
from querybudget.stores import Clock

if TYPE_CHECKING:
    from querybudget.traffic.log import TrafficLog
    from querybudget.webhooks import Webhooks

logger = logging.getLogger("querybudget")


class OutputHooks:
    """The hooks that a policy asks for; they open files and connections with the first event.

    Args:
        policy: Says what is written and sent.
        clock: µs since the epoch.

    Raises:
        SetupError: A library that one needs is missing.

    Attributes:
        hooks: Those of the present policy.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._clock = clock
        self._written: TrafficLogSettings | None = None
        self._log: TrafficLog | None = None
        self._webhooks: Webhooks | None = None
        self._ending = set[asyncio.Task[None]]()
        self.hooks: tuple[Hook, ...] = ()
        self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Write and send what this policy asks for, from the next event on.

        A log that another takes the place of is written to its end in the background. Webhooks
        remember what was said, and messages that wait go where the new policy says.

        Raises:
            SetupError: A library that one needs is missing. Everything stays as it was.
        """
        log, webhooks = self._log, self._webhooks
        if policy.traffic_log != self._written:
            log = _log_of(policy.traffic_log, self._clock)
        if webhooks is None or policy.webhooks is None:
            webhooks = _webhooks_of(policy.webhooks, self._clock)
        else:
            webhooks.follow(policy.webhooks)
        before, self.hooks = self.hooks, tuple(hook for hook in (log, webhooks) if hook is not None)
        self._written, self._log, self._webhooks = policy.traffic_log, log, webhooks
        for hook in before:
            if hook not in self.hooks:
                task = asyncio.get_running_loop().create_task(close(hook))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    async def aclose(self) -> None:
        """Close all of them; wait for those that end already."""
        for hook in self.hooks:
            await close(hook)
        loop = asyncio.get_running_loop()
        ending = [task for task in self._ending if task.get_loop() is loop]
        if ending:
            await asyncio.wait(ending)


async def close(hook: Hook) -> None:
    """Close a hook that can be closed. One that fails is logged."""
    aclose = getattr(hook, "aclose", None)
    if inspect.iscoroutinefunction(aclose):
        try:
            await aclose()
        except Exception:
            logger.exception("a hook could not be closed: %r", hook)


def _log_of(settings: TrafficLogSettings | None, clock: Clock) -> TrafficLog | None:
    if settings is None:
        return None
    # Imported here: few policies have one.
    from querybudget.traffic.log import TrafficLog  # noqa: PLC0415

    return TrafficLog.of(settings, clock)


def _webhooks_of(settings: WebhookSettings | None, clock: Clock) -> Webhooks | None:
    if settings is None:
        return None
    # Imported here: few policies need it and httpx, which takes 60 ms to load.
    from querybudget.webhooks import Webhooks  # noqa: PLC0415

    return Webhooks.of(settings, clock)
