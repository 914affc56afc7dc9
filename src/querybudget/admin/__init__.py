"""What an operator does while the server runs: look at accounts, change limits, pardon, forget."""

from __future__ import annotations

from querybudget.admin.local_admin import LocalAdmin, RecentCalls
from querybudget.admin.protocol import AccountList, AccountView, Admin, BudgetUse
from querybudget.admin.remote_admin import RemoteAdmin

__all__ = [
    "AccountList",
    "AccountView",
    "Admin",
    "BudgetUse",
    "LocalAdmin",
    "RecentCalls",
    "RemoteAdmin",
]
