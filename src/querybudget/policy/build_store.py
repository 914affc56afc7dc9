"""The store: from the file's structs to its settings; and whether it can keep the budgets."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import UNSET

from querybudget.backends import LIMITS, SCHEMES, StoreSettings, guarantees_of, kept, needed
from querybudget.policy import file
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.model import Budget, OnStoreError
from querybudget.text import listed, nearest
from querybudget.units import SECOND, Algorithm

MIN_TIMEOUT, MAX_TIMEOUT = SECOND // 1_000, 60 * SECOND
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def store_settings(
    policy: file.PolicyFile, budgets: Sequence[Budget | None], problems: Problems
) -> StoreSettings:
    """Build the settings of a policy's store; check that it can keep the budgets.

    Args:
        policy: The policy as it was written.
        budgets: As many as were written; None for one that could not be built.
        problems: Where to note what is wrong.
    """
    store = policy.store
    url = "" if store.url is UNSET else store.url
    if url and _check_url(url, problems):
        _check_abilities(url, policy, budgets, problems)
    if not MIN_TIMEOUT <= store.timeout <= MAX_TIMEOUT:
        problems.add(("store", "timeout"), "expected a duration from 1ms to 60s, found another")
    if not _PREFIX.fullmatch(store.prefix):
        message = "expected up to 64 letters, digits and any of `_.:-`"
        problems.add(("store", "prefix"), f"{message}, found `{store.prefix}`")
    return StoreSettings(url, store.timeout, store.workers or 1, store.prefix)


def _check_url(url: str, problems: Problems) -> bool:
    scheme, separator, _ = url.partition("://")
    if not (separator and _SCHEME.fullmatch(scheme)):
        message = "expected the URL of a store such as `memory://`"
        near = f" (did you mean `{url}://`?)" if url in SCHEMES else ""
        problems.add(_url_path(problems), f"{message}, found something else{near}")
        return False
    if guarantees_of(url) is None:
        known = [f"{name}://" for name in SCHEMES]
        near = nearest(f"{scheme}://", known)
        words = "a known store" if near else listed(known)
        problems.add(_url_path(problems), f"expected {words}, found `{scheme}://`{near}")
        return False
    return True


def _check_abilities(
    url: str, policy: file.PolicyFile, budgets: Sequence[Budget | None], problems: Problems
) -> None:
    guarantees = guarantees_of(url)
    if guarantees is None:
        return
    if guarantees.shared and policy.secret is None:
        message = "expected `secret` beside a shared store, found none: without it, each process"
        problems.add(("secret",), f"{message} has its own names for the same callers")
    keeps = kept(guarantees)
    alone = not guarantees.shared or policy.store.workers is not None
    for index, budget in enumerate(budgets):
        if budget is None:
            continue
        path, kind = ("budgets", index), budget.quota.algorithm
        if (need := needed(budget.quota)) not in keeps:
            key = "window" if kind in {Algorithm.GCRA, Algorithm.CALENDAR} else "limit"
            listed = " or ".join(keeps)
            message = f"expected {listed}, which `{_scheme(url)}` keeps, found {need}"
            problems.add((*path, key), message)
        if budget.on_store_error is OnStoreError.LOCAL and not alone:
            message = "expected `workers` in `store` beside `local`, found none: a worker has to"
            problems.add((*path, "on_store_error"), f"{message} know how many share a limit")


def _url_path(problems: Problems) -> Path:
    return ("store", "url") if problems.mapping(("store",)) else ("store",)


def _scheme(url: str) -> str:
    scheme = url.partition("://")[0]
    return LIMITS if scheme.startswith(LIMITS) else f"{scheme}://"
