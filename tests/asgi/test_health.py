from __future__ import annotations

from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from querybudget.asgi import QueryBudgetMiddleware, health_app
from querybudget.asgi.types import Message, Receive, Scope, Send
from querybudget.backends import Guarantees
from querybudget.errors import PolicyError, SetupError, StoreError
from querybudget.limiter import Limiter
from querybudget.policy.model import Policy
from querybudget.resilience.guard import FAILURES
from querybudget.testing import Driven, FakeModel, ManualClock, drive, http_scope, request
from querybudget.units import Algorithm
from tests.asgi.conftest import MakeEdge
from tests.stores.scripted import Scripted, hurried

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
RPM = {"name": "rpm", "limit": "100 requests/minute"}
LIFESPAN = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
STARTUP: Message = {"type": "lifespan.startup"}


class Edge:
    """A middleware with a health path, over a scripted store."""

    def __init__(
        self, *budgets: dict[str, Any], app: Any = None, suspends: bool = True, **settings: Any
    ) -> None:
        policy = {
            "version": 1,
            "identity": ["api_key"],
            "health": "/-/store",
            "budgets": list(budgets) or [RPM],
            **settings,
        }
        self.clock = ManualClock()
        self.store = Scripted(self.clock, suspends=suspends)
        self.model = FakeModel()
        self.limiter = Limiter(
            Policy.load(policy), store=self.store, clock=self.clock, wait=hurried
        )
        self.app = QueryBudgetMiddleware(app or self.model, limiter=self.limiter)

    async def health(self, method: str = "GET", path: str = "/-/store", **on: Any) -> Driven:
        return await drive(self.app, http_scope(path, method=method, **on), request())

    async def calls(self, times: int) -> list[int]:
        scopes = [http_scope(key="sk-secret") for _ in range(times)]
        return [(await drive(self.app, scope, request(CHAT))).status for scope in scopes]


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_health_path_is_answered_by_the_middleware_and_costs_nothing(
    method: str,
) -> None:
    edge = Edge({**RPM, "limit": "1 requests/minute"})
    for _ in range(3):
        driven = await edge.health(method, key="a")
        assert driven.status == 200
        assert driven.headers["cache-control"] == "no-store"
        assert driven.headers["content-type"] == "application/json"
        assert driven.json["status"] == "ok"
        assert driven.json["store"] == "Scripted"
    assert len(edge.store.asked) == 2  # one probe, reserved and settled
    assert edge.model.requests == []


@pytest.mark.anyio
async def test_other_methods_and_paths_are_the_application_s() -> None:
    edge = Edge()
    assert (await edge.health("POST")).status == 404
    assert (await edge.health(path="/-/store/more")).status == 404
    assert (await edge.health(path="/api/-/store", root_path="/api")).status == 200


@pytest.mark.anyio
async def test_a_policy_without_a_health_path_answers_none() -> None:
    edge = Edge(health="")
    assert (await edge.health()).status == 404
    assert (await edge.health(path="/api", root_path="/api")).status == 404


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [True, False], ids=["suspending", "memory"])
@pytest.mark.parametrize(
    ("budget", "status", "word"),
    [
        ({"on_store_error": "allow"}, 200, "degraded"),
        ({"on_store_error": "local"}, 200, "degraded"),
        ({"on_store_error": "deny"}, 503, "down"),
        ({"on_store_error": "deny", "mode": "shadow"}, 200, "degraded"),
    ],
    ids=["allow", "local", "deny", "deny in shadow"],
)
async def test_health_says_what_becomes_of_calls_while_the_store_is_down(
    budget: dict[str, Any], status: int, word: str, suspends: bool
) -> None:
    edge = Edge({**RPM, **budget}, suspends=suspends)
    edge.store.ever = "fails"
    await edge.calls(FAILURES - 2)
    assert (await edge.health()).json["status"] == "ok"  # It asks, too.
    edge.clock.advance(5)
    await edge.calls(3)
    driven = await edge.health()
    assert driven.status == status
    found = driven.json
    assert found["status"] == word
    assert found["since"] == edge.clock.now
    assert found["without_store"] == FAILURES + 1
    assert found["local"] == (FAILURES + 1 if "local" in str(budget) else 0)
    assert found["failures"] == FAILURES
    assert found["timeouts"] == 0


@pytest.mark.anyio
async def test_health_shows_no_secret_and_no_caller() -> None:
    edge = Edge()
    edge.store.ever = "fails"
    await edge.calls(2)
    driven = await edge.health()
    assert driven.json["last_error"] == "redis://db:6379 refused the connection"
    assert all(word not in driven.body for word in (b"hunter2", b"user:", b"sk-secret"))

    async def unreadable(*_: object) -> None:
        raise StoreError("the account of 'api_key:0123456789abcdef' cannot be read")

    edge.store.reserve = unreadable  # type: ignore[method-assign, assignment]
    await edge.calls(1)
    assert (await edge.health()).json["last_error"] == "the account of '...' cannot be read"


@pytest.mark.anyio
async def test_a_worker_without_calls_notices_an_outage_when_asked_for_health() -> None:
    edge = Edge({**RPM, "on_store_error": "deny"})
    assert (await edge.health()).status == 200
    edge.store.ever = "fails"
    asked = len(edge.store.asked)
    edge.clock.advance(9)
    assert (await edge.health()).status == 200
    assert len(edge.store.asked) == asked  # A well store is asked every ten seconds only.
    edge.clock.advance(1)
    found = [await edge.health() for _ in range(FAILURES)]
    assert [each.status for each in found] == [*[200] * (FAILURES - 1), 503]
    assert found[0].json["failures"] == 1
    assert found[-1].json["status"] == "down"
    await edge.limiter.aclose()


@pytest.mark.anyio
async def test_many_who_ask_for_health_at_once_cost_the_store_one_probe() -> None:
    edge = Edge()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(edge.health)
    assert len(edge.store.asked) == 2


@pytest.mark.anyio
async def test_after_one_failed_probe_the_store_is_watched_without_further_questions() -> None:
    edge = Edge({**RPM, "on_store_error": "deny"})
    edge.store.ever = "fails"
    await edge.health()
    assert edge.limiter._resilient._watching is not None
    await edge.limiter.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("suspends", [True, False], ids=["suspending", "memory"])
async def test_asking_for_health_is_enough_to_notice_that_the_store_is_well(suspends: bool) -> None:
    edge = Edge({**RPM, "on_store_error": "deny"}, suspends=suspends)
    edge.store.ever = "fails"
    await edge.calls(FAILURES)
    assert (await edge.health()).status == 503
    edge.store.ever = "works"
    assert (await edge.health()).status == 503  # It rests.
    edge.clock.advance(1)
    driven = await edge.health()
    assert driven.status == 200
    assert (driven.json["status"], driven.json["since"]) == ("ok", edge.clock.now)
    assert len(edge.store.inner) == 0
    assert await edge.calls(1) == [200]


@pytest.mark.anyio
async def test_asking_for_health_asks_a_store_that_hangs_once_in_a_rest() -> None:
    edge = Edge()
    edge.store.ever = "hangs"
    await edge.calls(FAILURES)
    for rests in range(1, 4):
        edge.clock.advance(1)
        assert [(await edge.health()).json["status"] for _ in range(4)] == ["degraded"] * 4
        assert len(edge.store.asked) == FAILURES + rests
    await edge.limiter.aclose()


@pytest.mark.anyio
async def test_the_health_of_a_limiter_can_be_mounted_anywhere() -> None:
    edge = Edge({**RPM, "on_store_error": "deny"})
    admin = Starlette(routes=[Mount("/admin/store", health_app(edge.limiter))])

    async def asked(method: str) -> Driven:
        return await drive(admin, http_scope("/admin/store/", method=method), request())

    driven = [await asked(method) for method in ("GET", "HEAD", "POST")]
    assert [one.status for one in driven] == [200, 200, 405]
    assert driven[2].headers["allow"] == "GET, HEAD"
    edge.store.ever = "fails"
    await edge.calls(FAILURES)
    assert (await asked("GET")).status == 503
    other = await drive(health_app(edge.limiter), {"type": "websocket", "path": "/"})
    assert isinstance(other.error, ValueError)


# -- Starting ---------------------------------------------------------------------------------


class Starting(Scripted):
    """A store that wants to be started."""

    def __init__(self, clock: ManualClock, error: Exception | None = None) -> None:
        super().__init__(clock)
        self.error = error

    async def start(self) -> None:
        self.asked.append("start")
        if self.error is not None:
            raise self.error


def starting(error: Exception | None, app: Any) -> tuple[Starting, QueryBudgetMiddleware]:
    clock = ManualClock()
    store = Starting(clock, error)
    policy = Policy.load({"version": 1, "identity": ["api_key"], "budgets": [RPM]})
    return store, QueryBudgetMiddleware(app, policy, store=store, clock=clock)


@pytest.mark.anyio
async def test_a_store_is_started_before_the_application_and_once() -> None:
    order: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        order.extend(store.asked)
        await FakeModel()(scope, receive, send)

    store, middleware = starting(None, app)
    driven = await drive(middleware, LIFESPAN, [STARTUP])
    assert order == ["start"]
    assert [m["type"] for m in driven.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert driven.log[:2] == ["receive:lifespan.startup", "send:lifespan.startup.complete"]
    assert store.asked == ["start"]  # It is its owner's to close.
    middleware.limiter._owned = True
    await drive(middleware, LIFESPAN, [STARTUP])
    assert store.asked == ["start", "start", "aclose"]


@pytest.mark.anyio
async def test_a_store_that_can_never_work_fails_the_startup_with_its_message() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("reached")

    _, middleware = starting(SetupError("a later version wrote the file: name another"), app)
    driven = await drive(middleware, LIFESPAN, [STARTUP])
    (message,) = driven.sent
    assert message["type"] == "lifespan.startup.failed"
    assert message["message"] == "querybudget: a later version wrote the file: name another"


@pytest.mark.anyio
@pytest.mark.parametrize("error", [StoreError("no server is there"), OSError("no route")], ids=str)
async def test_a_server_starts_though_its_store_does_not_answer(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    _, middleware = starting(error, FakeModel())
    driven = await drive(middleware, LIFESPAN, [STARTUP])
    assert driven.sent[0]["type"] == "lifespan.startup.complete"
    assert "did not start" in caplog.text
    assert middleware.limiter.health().failures == 1
    assert (await drive(middleware, http_scope(key="a"), request(CHAT))).status == 200


# -- Setups that cannot work ------------------------------------------------------------------


class Weak(Scripted):
    """A store that keeps only sliding windows."""

    guarantees = Guarantees(frozenset({Algorithm.SLIDING}), "network")


def test_a_store_that_keeps_less_than_the_policy_asks_for_is_refused_by_name() -> None:
    budgets = [
        RPM,
        {"name": "burst", "limit": "9/minute", "window": "gcra"},
        {"name": "parallel", "limit": "3 concurrent"},
    ]
    policy = Policy.load({"version": 1, "budgets": budgets})
    with pytest.raises(SetupError) as caught:
        Limiter(policy, store=Weak(ManualClock()))
    words = str(caught.value)
    assert "Weak keeps only sliding windows" in words
    assert "'burst' has `window: gcra`" in words
    assert "'parallel' has limits in `concurrent`" in words
    assert "rpm" not in words
    Limiter(Policy.load({"version": 1, "budgets": [RPM]}), store=Weak(ManualClock()))


def test_a_shared_store_needs_a_secret_wherever_it_is_named(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/budgets.db"
    rules = {"version": 1, "budgets": [RPM]}
    with pytest.raises(SetupError, match=r"`secret`.*sqlite://"):
        Limiter(Policy.load(rules), store=url)
    with pytest.raises(PolicyError, match="secret"):
        Policy.load({**rules, "store": url})
    Limiter(Policy.load({**rules, "secret": "0123456789abcdef"}), store=url)


@pytest.mark.anyio
async def test_a_setup_that_cannot_work_fails_the_startup(
    make_edge: MakeEdge, tmp_path: Any
) -> None:
    policy = Policy.load({"version": 1, "budgets": [RPM]})
    middleware = QueryBudgetMiddleware(FakeModel(), policy, store=f"sqlite:///{tmp_path}/b.db")
    driven = await drive(middleware, LIFESPAN, [STARTUP])
    assert driven.sent[0]["type"] == "lifespan.startup.failed"
    assert "`secret`" in driven.sent[0]["message"]
