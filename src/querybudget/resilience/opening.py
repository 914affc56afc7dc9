"""Opens the store of a policy, ready for its failures."""

from __future__ import annotations

import msgspec

from querybudget.backends import guarantees_of, kept, lacking, needed
from querybudget.errors import SetupError
from querybudget.identity.tiers import asks_history
from querybudget.policy.model import Policy
from querybudget.redact import redact_url
from querybudget.resilience.guard import Wait, within
from querybudget.resilience.store import ResilientStore
from querybudget.stores import Administers, Clock, Declares, Store, StoreSettings, open_store


def open_resilient_store(
    policy: Policy, store: Store | StoreSettings | str, clock: Clock, *, wait: Wait = within
) -> ResilientStore:
    """Return the store of a policy, or another, ready for its failures.

    Args:
        policy: The policy.
        store: A store, or the settings or URL of one.
        clock: µs since the epoch.
        wait: Waits for the store's answers.

    Raises:
        SetupError: The store cannot keep the policy's budgets, there is none of that name, or
            processes share it and the policy has no secret.
    """
    settings = policy.store
    if isinstance(store, str):
        settings = msgspec.structs.replace(settings, url=store)
    elif isinstance(store, StoreSettings):
        settings = store
    else:
        name = type(store).__name__
        if not all(callable(getattr(store, verb, None)) for verb in ("reserve", "settle")):
            raise SetupError(f"expected a store or the URL of one, found {name}")
        _check_windows(store, name, policy)
        check_histories(store, name, policy)
        return ResilientStore(policy, store, clock, settings=settings, name=name, wait=wait)
    scheme = settings.url.partition("://")[0]
    guarantees = guarantees_of(settings.url)
    if guarantees is not None and guarantees.shared and not policy.secret:
        raise SetupError(
            f"expected `secret` in the policy beside the shared store {scheme}://, found none:"
            " without it, each process has its own names for the same callers"
        )
    opened = open_store(settings, clock, max_identities=policy.max_identities)
    _check_windows(opened, f"{scheme}://", policy)
    place = redact_url(settings.url)
    return ResilientStore(
        policy, opened, clock, settings=settings, name=scheme, place=place, wait=wait
    )


def check_histories(store: Store, name: str, policy: Policy) -> None:
    """Raise SetupError if a tier asks what the store knows of callers, and it cannot say it."""
    if asks_history(policy.tiers) and not isinstance(store, Administers):
        raise SetupError(
            f"the store {name} cannot show accounts, and a tier asks what it knows of callers"
        )


def _check_windows(store: Store, name: str, policy: Policy) -> None:
    """Raise SetupError if a store does not keep a budget of the policy."""
    if not isinstance(store, Declares):
        return
    guarantees = store.guarantees
    lacks = lacking(guarantees, [budget.quota for budget in policy.budgets])
    if lacks:
        keeps = " and ".join(kept(guarantees)) or "no windows"
        names = "; ".join(f"budget {lack.name!r} has {needed(lack)}" for lack in lacks)
        raise SetupError(f"the store {name} keeps only {keeps}, but {names}")
