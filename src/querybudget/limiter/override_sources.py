"""Files and functions that an operator's overrides are read from while the server runs."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from querybudget.errors import PolicyError, SetupError
from querybudget.limiter.rules import Rules
from querybudget.overrides import Override
from querybudget.policy.naming import NamedOverride, OverrideSource
from querybudget.policy.override_words import Known, called_overrides, read_overrides
from querybudget.redact import error_type

logger = logging.getLogger("querybudget")

PATIENCE = 10.0
"""Seconds that an asynchronous function may take."""

_Read = Sequence[NamedOverride | Override]


class SourceReader:
    """Reads one source of overrides; what fails leaves those that were read last.

    Args:
        source: The source.
        rules: Of the policy that names it.

    Raises:
        SetupError: There is no such function.
        PolicyError: The file says something that cannot be.

    Attributes:
        entries: What was read last.
    """

    def __init__(self, source: OverrideSource, rules: Rules) -> None:
        self._source = source
        self._rules = rules
        policy = rules.policy
        units = {budget.name: budget.quota.unit for budget in policy.budgets}
        self._known = Known(units, policy.identity, policy.partitions)
        self._state: tuple[int, int] | None = None
        self._next = 0
        self._failed = ""
        self.entries: tuple[Override, ...] = ()
        if source.called:
            self._function: Any = _function(source.target)
        else:
            self._state = _state_of(source.target)
            self._take(read_overrides(source.target, self._known))

    async def read(self, now: int) -> bool:
        """Read it if it is time; return whether there is anything new."""
        if now < self._next:
            return False
        before = self.entries
        try:
            if self._source.called:
                self._next = now + self._source.refresh
                self._take(called_overrides(await self._call(), self._source.target, self._known))
            else:
                await self._read_file()
        except Exception as error:  # noqa: BLE001 - an operator's code may raise anything
            said = str(error) if isinstance(error, PolicyError | SetupError) else error_type(error)
            if said != self._failed:
                name = self._source.target
                logger.warning("overrides of %s cannot be read, the last ones stay: %s", name, said)
            self._failed = said
        else:
            self._failed = ""
        return self.entries != before

    async def _call(self) -> object:
        if inspect.iscoroutinefunction(self._function):
            async with asyncio.timeout(PATIENCE):
                return await self._function()
        returned = await asyncio.to_thread(self._function)
        return await returned if inspect.isawaitable(returned) else returned

    async def _read_file(self) -> None:
        """Read it if it has changed, and again at the next look if it is written meanwhile."""
        state = await asyncio.to_thread(_state_of, self._source.target)
        if state == self._state:
            return
        try:
            found = await asyncio.to_thread(read_overrides, self._source.target, self._known)
        except PolicyError:
            self._state = state
            raise
        if await asyncio.to_thread(_state_of, self._source.target) == state:
            # Only now: who looks meanwhile does not take a file for read that is being read.
            self._state = state
            self._take(found)

    def _take(self, found: _Read) -> None:
        placed = self._rules.placed
        self.entries = tuple(
            placed(each) if isinstance(each, NamedOverride) else each for each in found
        )


def _state_of(path: str) -> tuple[int, int] | None:
    """What changes with a file; None if it is not there."""
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def _function(target: str) -> object:
    module, _, name = target.partition(":")
    try:
        function: object = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SetupError(f"there is no {target} that returns overrides: {error}") from error
    if not callable(function):
        raise SetupError(f"expected a function that returns overrides, found {target}")
    return function


def readers_of(rules: Rules) -> tuple[SourceReader, ...]:
    """Return a reader for each source that a policy names.

    Raises:
        SetupError: There is no such function.
        PolicyError: A file says something that cannot be.
    """
    return tuple(SourceReader(source, rules) for source in rules.policy.override_sources)
