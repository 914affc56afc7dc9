"""`Administering`: what operators do to a store, in time or with an error.

It asks the store whether or not calls go on without it, and what fails here does not count against
it: a list of many accounts may take longer than a call may wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from querybudget.errors import QueryBudgetError, SetupError, StoreError
from querybudget.overrides import AuditEntry, Override, Overrides
from querybudget.redact import error_type
from querybudget.resilience.fallback import Fallback
from querybudget.resilience.guard import Wait
from querybudget.resilience.outbox import Outbox
from querybudget.stores import AccountPage, AccountRecord, Administers, Store

SECONDS = 10.0
"""How long one command may take."""

_T = TypeVar("_T")


class Administering:
    """`Administers` of a store that may fail, and what this worker has decided without it.

    Its methods raise `SetupError` if the store is no `Administers`, or cannot do what is asked, and
    `StoreError` for anything else that goes wrong. After a `StoreError` a change may have been
    made.

    Args:
        store: The store.
        fallback: Decides calls while the store fails. It is pardoned and forgets too.
        outbox: What waits for the store. What it has of a forgotten account is dropped.
        name: Name of the store in errors: ``redis``.
        wait: Waits for the store's answers.
    """

    def __init__(
        self, store: Store, fallback: Fallback, outbox: Outbox, *, name: str, wait: Wait
    ) -> None:
        self._store = store
        self._fallback = fallback
        self._outbox = outbox
        self._name = f"the store ({name})"
        self._wait = wait

    @property
    def able(self) -> bool:
        """Whether the store is an `Administers`: without, only `forget` works."""
        return isinstance(self._store, Administers)

    async def accounts(
        self, cursor: str = "", limit: int = 100, part: str = "", /, *, begins: bool = False
    ) -> AccountPage:
        """As `Administers.accounts`, of the store alone."""
        return await self._ask(self._able.accounts(cursor, limit, part, begins=begins))

    async def account(self, partition: str, /) -> AccountRecord | None:
        """As `Administers.account`, of the store alone."""
        return await self._ask(self._able.account(partition))

    async def pardon(self, partition: str, /) -> bool:
        """As `Administers.pardon`."""
        local = await self._fallback.store.pardon(partition)
        return await self._ask(self._able.pardon(partition)) or local

    async def forget(self, partition: str, /) -> bool:
        """Drop an account, and what waits to be sent for it. Return whether there was one."""
        self._outbox.forget(partition)
        local = await self._fallback.store.forget(partition)
        return await self._ask(self._store.forget(partition)) or local

    async def overrides(self, version: str = "", /) -> Overrides | None:
        """As `Administers.overrides`."""
        return await self._ask(self._able.overrides(version))

    async def override(self, entry: Override, audit: AuditEntry | None, /) -> None:
        """As `Administers.override`."""
        await self._ask(self._able.override(entry, audit))

    async def remove_override(self, name: str, audit: AuditEntry | None, /) -> bool:
        """As `Administers.remove_override`."""
        return await self._ask(self._able.remove_override(name, audit))

    async def note(self, audit: AuditEntry, /) -> None:
        """As `Administers.note`."""
        await self._ask(self._able.note(audit))

    async def audit(self, limit: int = 100, /) -> tuple[AuditEntry, ...]:
        """As `Administers.audit`."""
        return await self._ask(self._able.audit(limit))

    @property
    def _able(self) -> Administers:
        if not isinstance(self._store, Administers):
            raise SetupError(
                f"{self._name} cannot list or change accounts: expected a store that can, such as"
                " memory://, sqlite:///, redis:// or valkey://"
            )
        return self._store

    async def _ask(self, answering: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.ensure_future(answering)
        try:
            await self._wait((task,), SECONDS)
        finally:
            late = not task.done()
            task.cancel()
        if late:
            raise StoreError(f"{self._name} gave no answer within {SECONDS:g} s")
        if task.cancelled():
            raise StoreError(f"{self._name} was cancelled during a request")
        error = task.exception()
        if error is None or isinstance(error, QueryBudgetError | ValueError):
            return task.result()
        raise StoreError(f"{self._name} failed with {error_type(error)}") from error
