"""Accounts as operators list them."""

from __future__ import annotations

import msgspec

from querybudget.ledger import Account

AUDITED = 10_000
"""Entries of the audit log that a store keeps."""


class AccountRecord(msgspec.Struct, frozen=True):
    """One account, as it is kept.

    Attributes:
        partition: Its key.
        account: A copy of it.
        known: Whether it is off probation, or needs none.
    """

    partition: str
    account: Account
    known: bool


class AccountPage(msgspec.Struct, frozen=True):
    """Some of the accounts.

    Attributes:
        records: The accounts.
        cursor: For the next page; empty if this is the last.
    """

    records: tuple[AccountRecord, ...]
    cursor: str
