from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from querybudget.admin.protocol import AccountList, AccountView, LinkedGroup, Report
from querybudget.console.phrases import clock_time
from querybudget.console.survey import TOP_FRESH
from querybudget.overrides import AuditEntry, Effect, Override, Overrides
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO
from tests.console.conftest import Console, MakeConsole
from tests.console.fake_admin import CALLER, POOL, RING, SWEEPER, FakeAdmin, record


def decoded(answer: Any, kind: Any) -> Any:
    assert answer.status_code in {200, 201}, answer.text
    return msgspec.json.decode(answer.content, type=kind)


@pytest.mark.anyio
async def test_what_is_read_is_what_the_admin_says(program: Console) -> None:
    admin = program.admin
    admin.calls += [record("r1"), record("r2", identity=SWEEPER)]
    listed = decoded(program.get("/api/accounts?limit=2"), AccountList)
    assert listed == await admin.accounts("", 2)
    rest = decoded(program.get(f"/api/accounts?cursor={listed.cursor}"), AccountList)
    assert [each.account for each in rest.accounts] == [POOL]
    assert decoded(program.get(f"/api/accounts/{CALLER[:9]}"), AccountView).account == CALLER
    top = decoded(program.get("/api/top?by=score&limit=1"), list[AccountView])
    assert [each.account for each in top] == [SWEEPER]
    calls = decoded(program.get(f"/api/calls?account={CALLER}"), list[TrafficRecord])
    assert calls == await admin.recent(100, CALLER)
    assert decoded(program.get("/api/calls/r2"), TrafficRecord).identity == SWEEPER
    assert decoded(program.get("/api/overrides"), Overrides) == await admin.overrides()
    assert decoded(program.get("/api/audit?limit=5"), list[AuditEntry]) == []


def test_groups_are_listed_and_unlinked(program: Console) -> None:
    (listed,) = decoded(program.get("/api/groups"), list[LinkedGroup])
    assert (listed.group, listed.size, listed.accounts) == (RING, 2, ())
    assert decoded(program.get(f"/api/groups/{RING}"), LinkedGroup) == program.admin.linked[0]
    answer = program.post(f"/api/unlink/{RING}", json={"by": "ops", "reason": "a school"})
    assert answer.json() == {"unlinked": 1}
    assert program.admin.unlinked == [(RING, "ops", "a school")]
    answer = program.delete(f"/api/unlink/{RING}?by=ops&reason=no+school")
    assert answer.json() == {"relinked": 1}
    assert program.admin.relinked == [(RING, "ops", "no school")]


def test_the_policy_is_read_without_secrets(program: Console) -> None:
    policy = program.get("/api/policy").json()
    assert policy["hash"] == program.limiter.policy_hash
    assert [budget["name"] for budget in policy["budgets"]] == ["rpm", "day"]
    assert "secret: ..." in policy["yaml"]
    assert "0123456789abcdef" not in str(policy)


def test_an_override_is_added_and_removed(program: Console) -> None:
    asked = Override("", CALLER, "rpm", factor=2 * MICRO, until=5, by="ops", reason="asked")  # type: ignore[arg-type]
    body = {**msgspec.to_builtins(asked), "action": "grant"}
    answer = program.post("/api/overrides", json=body)
    assert answer.status_code == 201
    made = decoded(answer, Override)
    assert msgspec.structs.replace(made, id="", at=0) == asked
    assert program.admin.changes == [("grant", made)]
    removed = program.delete(f"/api/overrides/{made.id}?by=ops&reason=over")
    assert removed.json() == {"removed": True}
    assert program.delete("/api/overrides/o9").status_code == 404


def test_an_override_can_be_named_in_few_words(program: Console) -> None:
    made = decoded(
        program.post("/api/overrides", json={"account": CALLER, "effect": "block"}), Override
    )
    assert (made.effect, made.budget, made.limit, made.factor) == (Effect.BLOCK, "*", 0, MICRO)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"account": ""}',
        b'{"account": "' + b"x" * 600 + b'"}',
        b'{"account": "abcdefgh", "effect": "explode"}',
        b'{"account": "abcdefgh", "limit": -1}',
        b'{"account": "abcdefgh", "limit": 1e30}',
        b'{"account": "abcdefgh", "action": "dance"}',
    ],
    ids=lambda body: body[:50].decode("latin-1"),
)
def test_a_body_that_is_wrong_changes_nothing(program: Console, body: bytes) -> None:
    answer = program.post("/api/overrides", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert program.admin.changes == []


def test_a_body_is_bounded(program: Console) -> None:
    answer = program.post("/api/overrides", content=b"x" * 70_000)
    assert (answer.status_code, list(answer.json())) == (413, ["error"])


def test_an_account_is_pardoned_and_forgotten(program: Console) -> None:
    note = {"by": "ops", "reason": "a mistake"}
    assert program.post(f"/api/accounts/{SWEEPER}/pardon", json=note).json() == {"pardoned": True}
    assert program.admin.pardoned == [(SWEEPER, "ops", "a mistake")]
    answer = program.post(f"/api/accounts/{CALLER}/forget", json=note)
    assert answer.json() == {"forgotten": 1}
    assert program.admin.forgotten == [(CALLER, "ops", "a mistake")]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1.5", "9" * 30, "\uff11"])
def test_a_limit_is_a_whole_number(program: Console, limit: str) -> None:
    assert program.get("/api/accounts", params={"limit": limit}).status_code == 400


def test_a_cursor_that_is_none_is_told(program: Console) -> None:
    program.log_in()
    assert program.get("/api/accounts?cursor=x").status_code == 400
    assert program.get("/accounts?cursor=x").status_code == 400


def test_problems_are_told_as_json(program: Console) -> None:
    for path, status in (("/api/accounts/ffffffff", 404), ("/api/calls/x", 404), ("/api/x", 404)):
        answer = program.get(path)
        assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert program.put("/api/overrides").json() == {"error": "Method Not Allowed"}
    program.admin.down = True
    answer = program.get("/api/accounts")
    assert answer.status_code == 503
    assert answer.json() == {"error": "The store does not answer: connection refused"}


CHANGES = ["overrides", "reload", "budgets/rpm/mode", "accounts/x/pardon"]


@pytest.mark.parametrize(
    "body", ['{"by":' * 9_000 + "1" + "}" * 9_000, '{"by": "\\ud800"}', "[" * 60_000]
)
@pytest.mark.parametrize("path", CHANGES)
def test_no_body_is_too_odd_for_an_answer(program: Console, path: str, body: str) -> None:
    assert program.post(f"/api/{path}", content=body).status_code == 400


@pytest.mark.parametrize("path", CHANGES)
def test_a_member_without_meaning_is_refused_or_skipped_however_deep(
    program: Console, path: str
) -> None:
    """By the Python: from 3.14 on, its stack has room for so many values inside each other."""
    body = '{"a":' * 9_000 + "1" + "}" * 9_000
    assert program.post(f"/api/{path}", content=body).status_code in {200, 400}


def test_nobody_chooses_the_id_of_an_override(program: Console) -> None:
    body = {"account": "everyone", "action": "block", "effect": "block", "id": "o1"}
    program.post("/api/overrides", json=body)
    ((_, made),) = program.admin.asked
    assert made.id == ""


def test_an_override_that_outlasts_the_calendar_is_shown() -> None:
    assert clock_time(10**18) == "31 Dec 23:59:59"


def test_all_accounts_are_read_for_one_list_and_then_shown_for_a_while(make: MakeConsole) -> None:
    """Whoever may read without a token cannot keep the server busy by asking again and again."""

    class Counting(FakeAdmin):
        reads = 0

        async def top(
            self, by: str = "score", limit: int = 10, *, report: Report | None = None
        ) -> Sequence[AccountView]:
            self.reads += 1
            return await super().top(by, limit)

    admin = Counting()
    client = make(admin, token=None)
    for limit in (1, 2, 100):
        assert len(client.get(f"/api/top?limit={limit}").json()) == min(limit, 3)
    assert admin.reads == 1
    assert client.get("/api/top?limit=101").status_code == 200
    assert admin.reads == 2
    client.time[0] += TOP_FRESH
    client.get("/api/top")
    assert admin.reads == 3
