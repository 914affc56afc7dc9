"""Links accounts of a store again and again, in the one worker that holds the lease.

No call waits for it. Groups are computed in a thread. A store that is down, or a mistake, is
logged, and the links that are known stay until they end.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TYPE_CHECKING

import msgspec

from querybudget.coverage.trace import MINUTE
from querybudget.errors import StoreError
from querybudget.limiter import Limiter
from querybudget.linking.lease import Lease
from querybudget.overrides import AuditEntry, Effect, Override
from querybudget.policy.linking import Linking
from querybudget.redact import error_type
from querybudget.units import SECOND, Micros

if TYPE_CHECKING:
    from querybudget.linking.grouping import Link

logger = logging.getLogger("querybudget")

AT_ONCE = 1_000
"""Links that one look adds or renews, at most: the next goes on."""

MOST = 90_000
"""Overrides, links among them, from which on no account is linked: operators need room too."""

HELD = 3
"""Times `every` for which the lease is held."""

AUTHOR = "linking"
"""Who makes links, in the audit log."""

Pause = Callable[[float], Awaitable[None]]
"""Waits a number of seconds."""


class Look(msgspec.Struct, frozen=True):
    """What one look at all accounts found.

    Attributes:
        accounts: Accounts that were looked at.
        established: How many of them are established: ties are weighed against their ways.
        linked: How many of them belong to groups.
        groups: How many groups there are.
        changed: Links that were added or renewed.
    """

    accounts: int
    established: int
    linked: int
    groups: int
    changed: int


class Linker:
    """Links the accounts of one limiter's store.

    Args:
        limiter: Its policy says how, and its store has the accounts.
        pause: Waits from one look to the next.
    """

    def __init__(self, limiter: Limiter, pause: Pause = asyncio.sleep) -> None:
        self._limiter = limiter
        self._pause = pause
        self._lease = Lease(limiter.store, limiter.clock)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, if the store can list accounts; the policy is asked before each look."""
        if self._limiter.administering.able:
            self._task = asyncio.create_task(self.run())

    async def stop(self) -> None:
        """Look no more, and let another worker have the lease."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        try:
            await self._lease.free()
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the server ends
            logger.warning("the lease of linking ends by itself: %s", error_type(error))

    async def run(self) -> None:
        """Look again and again, while the policy says so and this worker holds the lease."""
        while True:
            settings = self._limiter.policy.linking
            if settings is not None and settings.background:
                await self._attempt(settings)
            await self._pause((settings or Linking()).every / SECOND)

    async def _attempt(self, settings: Linking) -> None:
        try:
            if await self.elected(settings):
                _ = await self.look()
        except StoreError as error:
            logger.warning("accounts cannot be linked now: %s", error)
        except Exception:
            logger.exception("linking failed")

    async def elected(self, settings: Linking) -> bool:
        """Return True if this worker holds the lease, which it takes if nobody does."""
        return await self._lease.take(HELD * settings.every)

    async def look(self) -> Look:
        """Look at all accounts once, and write the links that are found.

        Raises:
            StoreError: The store failed. What was written stays.
        """
        found, due, present = await self._found()
        await self._write(due, present, self._limiter.policy.linking or Linking())
        return found

    async def preview(self) -> tuple[Look, Sequence[Link]]:
        """Look at all accounts once and write nothing; return the links that are due, too.

        It needs no lease.

        Raises:
            StoreError: The store failed.
        """
        found, due, _ = await self._found()
        return found, due

    async def _found(self) -> tuple[Look, list[Link], Collection[str]]:
        """Return what a look finds, the links that are due, and the accounts that are linked."""
        from querybudget.linking.collecting import read_candidates  # noqa: PLC0415
        from querybudget.linking.grouping import links  # noqa: PLC0415 - most servers link nobody

        limiter, now = self._limiter, self._limiter.clock()
        settings, store = limiter.policy.linking or Linking(), limiter.administering
        known = await store.overrides()
        entries = known.entries if known is not None else ()
        present = {one.account: one for one in entries if one.effect is Effect.LINK}
        apart = {one.account for one in entries if one.effect is Effect.UNLINK}
        members = await read_candidates(store, settings, now, present.keys(), apart)
        found = await asyncio.to_thread(
            links,
            members,
            {key: entry.budget for key, entry in present.items()},
            settings.largest,
            now // MINUTE,
            settings.decay // MINUTE,
        )
        due = [link for link in found if _due(link, present.get(link.account), settings, now)]
        new = [link for link in due if link.account not in present]
        renewed = [link for link in due if link.account in present]
        due = [*renewed, *new[: max(0, MOST - len(entries))]][:AT_ONCE]
        look = Look(
            len(members),
            sum(member.established for member in members),
            len(found),
            len({link.group for link in found}),
            len(due),
        )
        return look, due, present.keys()

    async def _write(
        self, due: Sequence[Link], present: Collection[str], settings: Linking
    ) -> None:
        store, now = self._limiter.administering, self._limiter.clock()
        joined: dict[str, list[Link]] = defaultdict(list)
        for link in due:
            if link.account not in present:
                joined[link.group].append(link)
        for group, new in joined.items():
            # It is said first: a store that fails meanwhile leaves no link that nobody was told of.
            detail = f"{len(new):,} accounts: {', '.join(_kinds(new))}"
            await store.note(AuditEntry(Micros(now), AUTHOR, "link", group, detail))
            logger.warning("linked %s into %s", detail, group)
        for link in due:
            if await store.account(link.account) is not None:  # else it was forgotten meanwhile
                await store.override(_entry(link, now, settings.decay), None)
        if due:
            await self._limiter.feed.refresh()


def _due(link: Link, entry: Override | None, settings: Linking, now: int) -> bool:
    """Return True if a link is to be written: it is new, another, or half of its life is over."""
    return entry is None or entry.budget != link.group or entry.until - now < settings.decay // 2


def _kinds(new: Sequence[Link]) -> list[str]:
    """Return the kinds of evidence for links, the most frequent first."""
    kinds = Counter(kind for link in new for kind, _ in link.reasons)
    return [kind for kind, _ in kinds.most_common()]


def _entry(link: Link, now: int, decay: int) -> Override:
    """Return a link as stores keep it: one for each account, by its id."""
    return Override(
        f"link-{link.account}",
        link.account,
        link.group,
        Effect.LINK,
        until=Micros(now + decay),
        at=Micros(now),
        by=AUTHOR,
        reason=" ".join(f"{kind}:{weight:.1f}" for kind, weight in link.reasons),
    )
