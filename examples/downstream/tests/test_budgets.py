"""The service keeps its budgets: through FastAPI, without a network, a model or a sleep."""

from __future__ import annotations

import pytest
from assistant.service import POLICY, create_app
from starlette.testclient import TestClient

from querybudget.testing import Decisions, ManualClock, spend, unlimited
from querybudget.testing.plugin import MakeLimiter


@pytest.fixture
def client(querybudget_limiter: MakeLimiter) -> TestClient:
    return TestClient(create_app(querybudget_limiter(POLICY)))


def ask(client: TestClient, who: str, question: str = "why is the sky blue") -> int:
    headers = {"authorization": f"Bearer token-of-{who}"}
    return client.post("/ask", json={"question": question}, headers=headers).status_code


def test_people_on_trial_ask_twice_a_minute(
    client: TestClient, querybudget_decisions: Decisions, querybudget_clock: ManualClock
) -> None:
    assert [ask(client, "tim") for _ in range(3)] == [200, 200, 429]
    querybudget_decisions.assert_refused(1, by="requests", caller="tim", wait=60)
    querybudget_clock.fast_forward("1 minute")
    assert ask(client, "tim") == 200


def test_an_answer_charges_what_it_says_to_the_team(
    client: TestClient, querybudget_decisions: Decisions
) -> None:
    ask(client, "ada", "one two three")
    assert querybudget_decisions.last.charged["team-tokens"] == 9_000_000


def test_a_team_that_has_used_its_tokens_waits_for_the_next_day(
    querybudget_limiter: MakeLimiter,
    querybudget_decisions: Decisions,
    querybudget_clock: ManualClock,
) -> None:
    limiter = querybudget_limiter(POLICY)
    client = TestClient(create_app(limiter))
    spend(limiter, "100%", of="team-tokens", path="/ask", user="ada", auth={"team": "red"})
    assert (ask(client, "bob"), ask(client, "tim")) == (429, 200)
    querybudget_decisions.assert_refused(1, by="team-tokens", caller="bob")
    querybudget_decisions.assert_refused(0, caller="tim")
    querybudget_clock.fast_forward("1 day")
    assert ask(client, "bob") == 200


def test_strangers_are_sent_away_before_they_use_anything(
    client: TestClient, querybudget_decisions: Decisions
) -> None:
    assert ask(client, "mallory") == 401
    assert len(querybudget_decisions) == 0


def test_other_tests_need_not_mind_the_budgets(client: TestClient) -> None:
    with unlimited():
        assert {ask(client, "tim") for _ in range(20)} == {200}
