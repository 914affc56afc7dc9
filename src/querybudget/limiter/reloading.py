"""From one policy to another while the limiter runs: what differs, and what needs a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import msgspec
from msgspec.structs import replace

from querybudget.backends import lacking
from querybudget.errors import SetupError
from querybudget.limiter.analysis import PromptAnalyzer, analyzer_for
from querybudget.limiter.override_sources import SourceReader, readers_of
from querybudget.limiter.rules import Rules
from querybudget.policy.model import Budget, Policy
from querybudget.resilience.opening import check_histories
from querybudget.stores import Declares, Store
from querybudget.text import limit, listed

_FIXED = {
    "store": "`store`: accounts are kept elsewhere",
    "secret": "`secret`: every caller would be a new one",
    "max_identities": "`max_identities`: the store was opened with it",
}
"""Members of a policy that do not change while a limiter runs, and why."""

_OF_ANALYZER = {
    "embedding": "`embedding`: buckets would be others",
    "capabilities": "`capabilities`: the analyzer knows those that it was made for",
}
"""Those that change only while nothing analyzes prompts yet."""

_APART = {*_FIXED, "budgets", "source", "tests"}

_RESPONSE = {
    "price": ("free", "cap", "curve", "slope"),
    "then": ("stages",),
    "delay": ("delay",),
    "score": ("scored",),
    "suspects": ("suspects",),
}
"""Keys of a budget in buckets to the members of its response that they decide."""

_WORDS = {"override_sources": "where `overrides` come from"}
"""Members of a policy that its file has no word for."""


class Change(msgspec.Struct, frozen=True):
    """What a reload changed.

    Attributes:
        old: Hash of the policy before.
        new: Hash of the policy now.
        changes: The difference in words, one sentence each; empty if there is none.
    """

    old: str
    new: str
    changes: tuple[str, ...]

    def __str__(self) -> str:
        words = "; ".join(self.changes) or "nothing is different"
        return f"policy {self.new} takes the place of {self.old}: {words}"


async def prepared(
    policy: Policy, old: Rules, analyzer: PromptAnalyzer | None, store: Store, now: int
) -> tuple[Rules, tuple[SourceReader, ...]]:
    """Return the rules of a policy, and the readers of its overrides, which have been read once.

    The first budget in buckets opens an analyzer: `Rules.analyzer`.

    Raises:
        SetupError: The policy needs a restart, or names something that does not exist.
    """
    if not policy.secret:  # a random one is the process's, and stays
        policy = replace(policy, secret=old.policy.secret)
    check_reload(old.policy, policy, store, analyzes=analyzer is not None)
    opened = await _opened(policy, old) if analyzer is None else None
    try:
        rules = Rules(policy, old.hashed, analyzer or opened, old)
        readers = readers_of(rules)
        for reader in readers:
            await reader.read(now)
    except BaseException:
        if opened is not None:
            await opened.aclose()
        raise
    return rules, readers


async def _opened(policy: Policy, old: Rules) -> PromptAnalyzer | None:
    """Return the analyzer that a policy needs; loading it takes too long for the event loop."""
    if not policy.counts_buckets:
        return None
    key = policy.secret or old.hashed("analyzer", "").encode()
    return await asyncio.to_thread(analyzer_for, policy, key)


def change_between(old: Rules, new: Rules) -> Change:
    """Return what changes when rules take the place of others."""
    return Change(old.hash, new.hash, differences(old.policy, new.policy))


def check_reload(old: Policy, new: Policy, store: Store, *, analyzes: bool) -> None:
    """Check that a policy can take the place of another without a restart.

    Args:
        old: The policy at work.
        new: The other.
        store: Where accounts are.
        analyzes: Whether an analyzer is open.

    Raises:
        SetupError: It needs a restart, for reasons that the message names, or the store does not
            keep one of its budgets.
    """
    members = _FIXED | _OF_ANALYZER if analyzes else _FIXED
    fixed = [why for name, why in members.items() if getattr(old, name) != getattr(new, name)]
    if fixed:
        raise SetupError(f"a restart is needed for {'; '.join(fixed)}")
    check_histories(store, type(store).__name__, new)
    if isinstance(store, Declares):
        lacks = lacking(store.guarantees, [budget.quota for budget in new.budgets])
        if lacks:
            names = listed([lack.name for lack in lacks])
            raise SetupError(f"the store does not keep budgets such as {names}")


def differences(old: Policy, new: Policy) -> tuple[str, ...]:
    """Return how a policy differs from another, in words."""
    return (*_of_budgets(old.budgets, new.budgets), *_of_the_rest(old, new))


def _of_budgets(old: Iterable[Budget], new: Iterable[Budget]) -> Iterator[str]:
    before, after = ({budget.name: budget for budget in each} for each in (old, new))
    for name in [*before, *(name for name in after if name not in before)]:
        one, other = before.get(name), after.get(name)
        if other is None:
            yield f"budget {name!r} is removed"
        elif one is None:
            yield f"budget {name!r} is added: {limit(other.quota)}, {other.mode.value}"
        elif one != other:
            yield f"budget {name!r}: {', '.join(_of_budget(one, other))}"


def _of_budget(one: Budget, other: Budget) -> Iterator[str]:
    if one.quota != other.quota:
        before, after = limit(one.quota), limit(other.quota)
        yield f"limit {before} becomes {after}" if before != after else "its window changes"
    if one.mode is not other.mode:
        yield f"{one.mode.value} becomes {other.mode.value}"
    for name in ("per", "match", "weights", "on_store_error"):
        if getattr(one, name) != getattr(other, name):
            yield f"`{name}` changes"
    yield from _of_response(one, other)


def _of_response(one: Budget, other: Budget) -> Iterator[str]:
    """Return the keys of what a budget in buckets leads to that change."""
    before, after = one.response, other.response
    if before is None or after is None:
        return  # another unit, which the limit says
    for key, members in _RESPONSE.items():
        changes = any(getattr(before, name) != getattr(after, name) for name in members)
        if changes or (key == "score" and one.counted != other.counted):
            yield f"`{key}` changes"


def _of_the_rest(old: Policy, new: Policy) -> Iterator[str]:
    for name in Policy.__struct_fields__:
        if name not in _APART and getattr(old, name) != getattr(new, name):
            yield f"{_WORDS.get(name, f'`{name}`')} changes"
