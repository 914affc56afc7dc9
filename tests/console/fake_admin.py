"""An admin that keeps everything in lists, so that the console is tested by itself."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from querybudget.admin.protocol import (
    AccountList,
    AccountView,
    BudgetUse,
    LinkedAccount,
    LinkedGroup,
    Report,
)
from querybudget.coverage import Reason
from querybudget.errors import StoreError
from querybudget.overrides import AuditEntry, Effect, Override, Overrides
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO, SECOND, Micros

NOW = Micros(1_795_000_000 * SECOND)
SWEEPER = "5f0c2a7be1d94c33a8b1f7e6d5c4b3a2"
CALLER = "3f2a9c01d4e5f60718293a4b5c6d7e8f"
RING = "group:8a8e9907c471"
POOL = "org:0011223344556677889900aabbccddee"


def use(budget: str = "rpm", used: int = 30, limit: int = 60, **more: object) -> BudgetUse:
    known = BudgetUse(
        budget, "requests", limit * MICRO, used * MICRO, (limit - used) * MICRO, 40 * SECOND, False
    )
    return msgspec.structs.replace(known, **more)


def view(account: str = CALLER, **more: object) -> AccountView:
    known = AccountView(
        account=account,
        kind="caller",
        tier="default",
        since=NOW - 86_400 * SECOND,
        seen=NOW - 90 * SECOND,
        known=True,
        open=1,
        calls=12,
        budgets=(use(),),
        score=0,
        shift=0,
        stage="none",
        reasons=(),
        covered=0,
        overrides=(),
    )
    return msgspec.structs.replace(known, **more)


def record(request_id: str = "req-1", **more: object) -> TrafficRecord:
    known = TrafficRecord(
        at=NOW - 5 * SECOND,
        identity=CALLER,
        source="api_key",
        request_id=request_id,
        path="/v1/chat/completions",
        operation="chat",
        model="small",
        verdict="admit",
    )
    return msgspec.structs.replace(known, **more)


SUSPECT = view(
    SWEEPER,
    score=910_000,
    stage="degrade",
    reasons=(Reason("persistence", 400_000), Reason("wording", 310_000), Reason("manner", -50_000)),
    covered=180_000,
)


def ring() -> LinkedGroup:
    """A group of two accounts."""
    until = NOW + 14 * 86_400 * SECOND
    accounts = (
        LinkedAccount(CALLER, NOW, until, {"template": 4.4, "timing": 5.0}),
        LinkedAccount(SWEEPER, NOW, until, {"template": 4.4, "conduct": 4.9}),
    )
    kinds = {"template": 2, "timing": 1, "conduct": 1}
    return LinkedGroup(RING, 2, NOW, until, kinds, accounts)


class FakeAdmin:
    """Does what `Admin` says, on lists that tests fill and look at."""

    def __init__(self, *accounts: AccountView, calls: Sequence[TrafficRecord] = ()) -> None:
        self.views = {
            each.account: each for each in accounts or (view(), SUSPECT, view(POOL, kind="org"))
        }
        self.calls = [*calls]
        self.changes = list[tuple[str, Override]]()
        self.asked = list[tuple[str, Override]]()
        self.log = list[AuditEntry]()
        self.pardoned = list[tuple[str, str, str]]()
        self.forgotten = list[tuple[str, str, str]]()
        self.removed = list[str]()
        self.linked = [ring()]
        self.unlinked = list[tuple[str, str, str]]()
        self.relinked = list[tuple[str, str, str]]()
        self.down = False
        self.unreachable = False
        self.lists = 0

    async def accounts(
        self, cursor: str = "", limit: int = 100, *, internal: bool = False
    ) -> AccountList:
        self._check()
        self.lists += 1
        begin = int(cursor or 0)
        some = [*self.views.values()][begin : begin + limit]
        more = begin + limit < len(self.views)
        return AccountList(tuple(some), str(begin + limit) if more else "")

    async def account(self, key: str) -> AccountView:
        self._check()
        found = [each for name, each in self.views.items() if name.startswith(key)]
        if len(found) != 1 or len(key) < 8:
            raise LookupError(f"expected one account that begins with {key!r}, found {len(found)}")
        return found[0]

    async def top(
        self, by: str = "score", limit: int = 10, *, report: Report | None = None
    ) -> Sequence[AccountView]:
        self._check()
        return sorted(self.views.values(), key=lambda each: -each.score)[:limit]

    async def change(self, entry: Override, action: str) -> Override:
        self._check()
        self.asked.append((action, entry))
        made = msgspec.structs.replace(entry, id=f"o{len(self.changes)}", at=NOW)
        self.changes.append((action, made))
        self._note(made.by, action, made.account, made.reason)
        return made

    async def remove(self, name: str, by: str = "", reason: str = "") -> bool:
        self._check()
        self.removed.append(name)
        return any(made.id == name for _, made in self.changes)

    async def pardon(self, key: str, by: str = "", reason: str = "") -> bool:
        self.pardoned.append((key, by, reason))
        self._note(by, "pardon", key, reason)
        return True

    async def forget(self, key: str, by: str = "", reason: str = "") -> int:
        self.forgotten.append((key, by, reason))
        return int(self.views.pop(key, None) is not None)

    async def overrides(self) -> Overrides:
        self._check()
        return Overrides("1", tuple(made for _, made in self.changes))

    async def groups(self) -> tuple[LinkedGroup, ...]:
        self._check()
        return tuple(msgspec.structs.replace(each, accounts=()) for each in self.linked)

    async def group(self, name: str) -> LinkedGroup:
        for each in self.linked:
            if each.group == name:
                return each
        raise LookupError(f"there is no group {name!r}")

    async def unlink(self, name: str, by: str = "", reason: str = "") -> int:
        self.unlinked.append((name, by, reason))
        return 1

    async def relink(self, name: str, by: str = "", reason: str = "") -> int:
        self.relinked.append((name, by, reason))
        return 1

    async def audit(self, limit: int = 100) -> Sequence[AuditEntry]:
        return self.log[::-1][:limit]

    async def find(self, request_id: str) -> TrafficRecord | None:
        return next((each for each in self.calls if each.request_id == request_id), None)

    async def recent(self, limit: int = 100, account: str = "") -> Sequence[TrafficRecord]:
        if self.unreachable:
            raise StoreError("connection refused")
        return [each for each in reversed(self.calls) if account in {"", each.identity}][:limit]

    def _check(self) -> None:
        if self.down:
            raise StoreError("connection refused")

    def _note(self, by: str, action: str, account: str, detail: str) -> None:
        self.log.append(AuditEntry(NOW, by, action, account, detail))


def blocked(account: str = CALLER) -> Override:
    return Override("b1", account, effect=Effect.BLOCK, at=NOW, by="ana", reason="abuse")
