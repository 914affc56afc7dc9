from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from querybudget.admin import LocalAdmin
from querybudget.overrides import AuditEntry
from querybudget.policy.model import Mode
from tests.console.conftest import POLICY, Console, MakeConsole


def modes(client: Console) -> dict[str, Mode]:
    return {budget.name: budget.mode for budget in client.limiter.policy.budgets}


def audit(client: Console) -> list[tuple[str, str, str]]:
    async def read() -> Sequence[AuditEntry]:
        return await LocalAdmin(client.limiter).audit()

    entries = asyncio.run(read())
    return [(entry.by, entry.action, entry.detail) for entry in entries]


def test_a_shadow_budget_is_enforced_by_a_form_and_it_is_noted(operator: Console) -> None:
    answer = operator.submit("/budgets/day/mode", mode="enforce")
    assert answer.headers["location"] == "/policy?done=mode-here"
    assert modes(operator) == {"rpm": Mode.ENFORCE, "day": Mode.ENFORCE}
    assert audit(operator) == [("ana", "mode", "budget 'day': shadow becomes enforce")]


def test_a_mode_is_switched_back_and_both_are_noted(operator: Console) -> None:
    before = operator.limiter.policy_hash
    for mode in ("enforce", "enforce", "shadow"):
        operator.submit("/budgets/day/mode", mode=mode)
    assert modes(operator)["day"] is Mode.SHADOW
    assert operator.limiter.policy_hash == before
    assert [detail for _, _, detail in audit(operator)] == [
        "budget 'day': enforce becomes shadow",
        "nothing is different",
        "budget 'day': shadow becomes enforce",
    ]


def test_a_mode_is_switched_for_all_who_share_a_file(
    make: MakeConsole, policy_file: Path, tmp_path: Path
) -> None:
    policy_file.write_text(f"{POLICY}store: {{url: 'sqlite:///{tmp_path}/b.db', timeout: 60s}}\n")
    with make() as one, make() as other:
        one.log_in()
        answer = one.submit("/budgets/day/mode", mode="enforce")
        assert answer.headers["location"] == "/policy?done=mode"
        assert "wherever this policy runs" in one.get("/policy?done=mode").text
        other.portal.call(other.limiter.feed.refresh) if other.portal else None
        assert modes(other) == modes(one) == {"rpm": Mode.ENFORCE, "day": Mode.ENFORCE}
        assert one.limiter.policy_hash == other.limiter.policy_hash
        for client in (one, other):
            assert client.portal
            client.portal.call(client.limiter.aclose)


@pytest.mark.parametrize(
    ("budget", "mode", "status"),
    [("gone", "enforce", 404), ("day", "maybe", 400), ("day", "", 400)],
)
def test_there_are_two_modes_and_the_policy_s_budgets(
    operator: Console, budget: str, mode: str, status: int
) -> None:
    assert operator.submit(f"/budgets/{budget}/mode", mode=mode).status_code == status
    assert modes(operator) == {"rpm": Mode.ENFORCE, "day": Mode.SHADOW}


def test_a_reload_is_shown_before_it_is_made(operator: Console, policy_file: Path) -> None:
    assert "There is nothing to load." in operator.get("/policy/reload").text
    before = operator.limiter.policy_hash
    policy_file.write_text(POLICY.replace("60 requests/minute", "90 requests/minute"))
    page = operator.get("/policy/reload").text
    assert "limit 60 requests in any minute becomes 90 requests in any minute" in page
    assert operator.limiter.policy_hash == before
    assert operator.submit("/policy/reload").headers["location"] == "/policy?done=reload"
    assert operator.limiter.policy_hash != before
    assert "90 requests in any minute" in operator.get("/").text


def test_a_file_that_is_wrong_leaves_the_policy_as_it_is(
    operator: Console, policy_file: Path
) -> None:
    before = operator.limiter.policy_hash
    policy_file.write_text(POLICY.replace("limit", "limt"))
    for answer in (operator.get("/policy/reload"), operator.submit("/policy/reload")):
        assert answer.status_code == 400
        assert "limt" in answer.text
    policy_file.write_text(POLICY.replace("secret: 0", "secret: 1"))
    answer = operator.submit("/policy/reload")
    assert answer.status_code == 409
    assert "A restart is needed" in answer.text
    assert operator.limiter.policy_hash == before


def test_only_who_may_change_the_policy_sees_what_a_reload_would_change(
    make: MakeConsole,
) -> None:
    client = make(public_read=True)
    answer = client.get("/policy/reload", follow_redirects=False)
    assert answer.headers["location"] == "/login?next=policy"


def test_a_program_does_the_same(program: Console, policy_file: Path) -> None:
    body = {"mode": "enforce", "by": "ops"}
    answer = program.post("/api/budgets/day/mode", json=body).json()
    assert answer["changes"] == ["budget 'day': shadow becomes enforce"]
    assert program.post("/api/budgets/gone/mode", json=body).status_code == 404
    assert program.post("/api/budgets/day/mode", json={"mode": "x"}).status_code == 400
    policy_file.write_text(POLICY.replace("1000 requests", "2000 requests"))
    answer = program.post("/api/reload", json={"by": "ops"}).json()
    assert answer["new"] == program.limiter.policy_hash == program.get("/api/policy").json()["hash"]
    assert [entry[:2] for entry in audit(program)] == [("ops", "reload"), ("ops", "mode")]
