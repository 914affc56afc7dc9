"""Accounts as operators see them: a record of the store, under the policy and the overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping

from querybudget import ledger
from querybudget.admin.protocol import AccountView, BudgetUse
from querybudget.coverage import Stage, Touched
from querybudget.coverage.calibration import Calibration
from querybudget.coverage.caller import CallerProfile
from querybudget.coverage.group import Group
from querybudget.identity import ANONYMOUS, DEFAULT_TIER, Identity
from querybudget.limiter.lines import CALIBRATION, NEWCOMERS
from querybudget.limiter.overriding import counted_apart, overridden
from querybudget.limiter.plans import Caller
from querybudget.limiter.rules import Rules
from querybudget.linking.lease import ACCOUNT as LEASE
from querybudget.overrides import Override
from querybudget.policy.model import Mode
from querybudget.stores import AccountRecord
from querybudget.stores.accounts import SEPARATOR
from querybudget.units import MICRO, Unit

CALLER = "caller"
"""`AccountView.kind` of an account that one caller has for itself."""

NONE = "none"
"""In a key: a partition does not name the caller; what it has of the partition is its own."""

INTERNAL = (CALIBRATION, NEWCOMERS, LEASE)
"""How keys of accounts begin that are nobody's."""

_IDENTITY = re.compile(r"[0-9a-f]{32}")


def kind_of(partition: str) -> str:
    """Return whose an account is: `CALLER`, or the word of what shares it.

    Of callers whom a partition does not name it is ``no`` and the word: ``no org``.
    """
    parts = partition.split(SEPARATOR)
    word, colon, rest = parts[0].partition(":")
    if len(parts) == 1 and colon and rest.partition(":")[0] == NONE:
        return f"no {word}"
    if any(is_identity(part) for part in parts):
        return CALLER
    return word


def is_identity(part: str) -> bool:
    """Return True if a part of a key is an identity's."""
    return part == ANONYMOUS or _IDENTITY.fullmatch(part) is not None


def uses_of(record: AccountRecord, rules: Rules, now: int, only: str = "") -> tuple[BudgetUse, ...]:
    """Return what an account has used of each budget that has an account there.

    Args:
        record: The account.
        rules: The policy at work, with its overrides.
        now: µs since the epoch.
        only: Name of one budget; empty for all.
    """
    account, found = record.account, list[BudgetUse]()
    entries = overrides_of(record.partition, rules)
    tiers = tuple((account.tier or DEFAULT_TIER).split("+"))
    for budget in rules.policy.budgets:
        if only and budget.name != only:
            continue
        changed = overridden(entries, rules.matcher.scaled(budget.quota, tiers), now)
        quota, beside = changed.quota, counted_apart(changed.quota)
        if quota.key not in account.windows and beside.key not in account.windows:
            continue
        (remaining, reset), (rest, later) = ledger.peek(account, (quota, beside), now)
        apart = beside.limit - rest
        found.append(
            BudgetUse(
                budget.name,
                quota.unit.value,
                quota.limit,
                quota.capacity - remaining + apart,
                remaining,
                max(reset, later),
                shadow=budget.mode is Mode.SHADOW or changed.allowed,
                overridden=bool(changed.entries),
                allowed=changed.allowed,
                apart=apart,
            )
        )
    return tuple(found)


def overrides_of(partition: str, rules: Rules) -> tuple[Override, ...]:
    """Return the overrides of an account, whether they have ended or not."""
    return () if rules.overrides is None else rules.overrides.of_account(partition)


def score_of(record: AccountRecord, now: int) -> int:
    """Return an account's sweep score in millionths; 0 without a profile."""
    profile = record.account.profile
    return 0 if profile is None else profile.score(now)


def stage_of(record: AccountRecord, rules: Rules) -> tuple[str, bool]:
    """Return the most severe stage of an account's last calls, and whether it is shadow's alone.

    What budgets that are enforced do comes before what those in shadow would do.
    """
    profile = record.account.profile
    stages = {} if profile is None else profile.stages
    enforced = {
        budget.quota.key for budget in rules.policy.budgets if budget.mode is not Mode.SHADOW
    }
    acting = max((stages[key] for key in enforced & stages.keys()), default=Stage.NONE)
    worst = acting or max(stages.values(), default=Stage.NONE)
    return worst.name.lower(), worst != acting


def calls_of(record: AccountRecord) -> int:
    """Return how many calls an account's profile has observed."""
    profile = record.account.profile
    return profile.calls if isinstance(profile, CallerProfile) else 0


def spent_of(uses: tuple[BudgetUse, ...]) -> tuple[int, int]:
    """Return what an account has spent, for sorting: µ-dollars, then the largest share used."""
    dollars = max((use.used for use in uses if use.unit == Unit.USD.value), default=0)
    return dollars, max((use.share for use in uses), default=0)


def calibrating(tier: str, rules: Rules) -> str:
    """Return the account by which the scores of a tier are calibrated; empty if none is."""
    calibration = _calibration(tier, rules)
    return "" if calibration is None else calibration.partition


def shift_of(group: AccountRecord | None, tier: str, rules: Rules) -> int:
    """Return the millionths by which the scores of a tier are moved.

    Args:
        group: The account of `calibrating`.
        tier: The tier.
        rules: The policy at work.
    """
    calibration = _calibration(tier, rules)
    profile = None if group is None else group.account.profile
    if calibration is None or not isinstance(profile, Group):
        return 0
    return profile.shift(calibration)


def _calibration(tier: str, rules: Rules) -> Calibration | None:
    """Return how the scores of a tier are calibrated, as an account keeps the tier."""
    name = (tier or DEFAULT_TIER).split("+")[0]
    return rules.matcher.calibration(Caller(Identity(ANONYMOUS, ANONYMOUS), (name,), {}))


def is_internal(partition: str) -> bool:
    """Return True if nobody's calls are charged to an account: it calibrates, or is a lease."""
    return partition.startswith(INTERNAL)


def view_of(
    record: AccountRecord,
    rules: Rules,
    now: int,
    shift: int,
    touched: Mapping[str, Touched],
    *,
    cells: bool = False,
) -> AccountView:
    """Return an account as operators see it.

    Args:
        record: The account.
        rules: The policy at work, with its overrides.
        now: µs since the epoch.
        shift: Of its tier: `shift_of`.
        touched: By population tests: `querybudget.admin.populations.touched_of`.
        cells: Whether to give the bitmap of its cells.
    """
    account, profile = record.account, record.account.profile
    bitmap = bytes(profile.cells) if isinstance(profile, CallerProfile) else b""
    score = score_of(record, now)
    stage, in_shadow = stage_of(record, rules)
    open_ = sum(forgotten - ledger.GRACE > now for forgotten in account.open.values())
    return AccountView(
        account=record.partition,
        kind=kind_of(record.partition),
        tier=account.tier,
        since=account.since,
        seen=account.seen,
        known=record.known,
        open=open_,
        calls=calls_of(record),
        budgets=uses_of(record, rules, now),
        score=score,
        shift=shift,
        stage=stage,
        reasons=profile.reasons if profile is not None and score else (),
        covered=_covered(bitmap),
        overrides=tuple(
            entry
            for entry in overrides_of(record.partition, rules)
            if not entry.until or now < entry.until
        ),
        group=rules.matcher.partitions.groups.get(record.partition, ""),
        cells=bitmap if cells else b"",
        touched=touched,
        stage_in_shadow=in_shadow,
    )


def _covered(bitmap: bytes) -> int:
    if not bitmap:
        return 0
    return int.from_bytes(bitmap).bit_count() * MICRO // (8 * len(bitmap))
