"""One limiter on several event loops, one after another and in threads, counts every call once."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from querybudget import BlockingLimiter, RefusedError
from querybudget.limiter import Limiter, request_scope
from querybudget.policy import Policy
from querybudget.stores.loops import PerLoop
from querybudget.testing import Decisions
from tests.servers import Memcached, RedisServer

# A loop that ends leaves the connections open that it alone could close.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Let what ended loops have left be warned of here, where that is expected."""
    yield
    gc.collect()


LIMIT = 20
SCOPE = request_scope("/x", headers={"authorization": "Bearer a"})


@pytest.fixture(
    params=["memory", "sqlite", "redis", "memcached", "limits+memory", "limits+redis"],
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    kind: str = request.param
    if kind.endswith("redis"):
        redis: RedisServer = request.getfixturevalue("redis_server")
        redis.flush()
        return redis.url if kind == "redis" else f"limits+{redis.url}"
    if kind == "memcached":
        memcached: Memcached = request.getfixturevalue("memcached_server")
        memcached.flush()
        return memcached.url
    return f"sqlite:///{tmp_path}/b.db" if kind == "sqlite" else f"{kind}://"


class Bench:
    """A limiter, and what became of its calls."""

    def __init__(self, url: str) -> None:
        self.decisions = Decisions()
        self.ends: list[str] = []
        rules = {
            "version": 1,
            "secret": "0123456789abcdef",
            "store": {"url": url, "timeout": "60s"},
            "identity": ["api_key"],
            "budgets": [{"name": "n", "limit": f"{LIMIT}/day"}],
        }
        self.limiter = Limiter(Policy.load(rules), hooks=[self.decisions])

    async def calls(self, count: int) -> None:
        await asyncio.gather(*(self.call() for _ in range(count)))

    async def call(self) -> None:
        try:
            async with self.limiter.admitted(SCOPE):
                pass
        except RefusedError:
            self.ends.append("refused")
        else:
            self.ends.append("admitted")

    def check(self) -> None:
        asyncio.run(self.limiter.aclose())
        assert Counter(self.ends) == {"admitted": LIMIT, "refused": LIMIT}
        assert len(self.decisions.events) == 2 * LIMIT
        assert self.limiter.health().failures == 0


def in_turn(bench: Bench) -> None:
    for _ in range(8):
        asyncio.run(bench.calls(LIMIT // 4))


def in_threads(bench: Bench) -> None:
    threads = [
        threading.Thread(target=lambda: asyncio.run(bench.calls(LIMIT // 2))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("run", [in_turn, in_threads])
def test_a_limiter_on_several_event_loops_admits_the_limit_and_loses_no_event(
    url: str, run: Callable[[Bench], None]
) -> None:
    bench = Bench(url)
    run(bench)
    bench.check()


def test_a_settlement_that_its_event_loop_cut_off_reaches_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/b.db"
    bench = Bench(url)
    in_turn(bench)
    asyncio.run(bench.limiter.aclose())
    again = Bench(url)
    caller = again.limiter.caller_for(SCOPE)
    quota = again.limiter.policy.budgets[0].quota
    ((left, _),) = asyncio.run(again.limiter.store.peek(caller.identity.key, [quota]))
    assert left == 0
    asyncio.run(again.limiter.aclose())


def test_threads_that_share_a_blocking_limiter_are_admitted_up_to_the_limit(url: str) -> None:
    bench = Bench(url)
    admitted: list[bool] = []

    def some(limiter: BlockingLimiter) -> None:
        for _ in range(LIMIT // 2):
            try:
                with limiter.admitted(SCOPE):
                    admitted.append(True)
            except RefusedError:
                admitted.append(False)

    with BlockingLimiter(bench.limiter) as limiter:
        threads = [threading.Thread(target=some, args=(limiter,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter(admitted) == {True: LIMIT, False: LIMIT}
    assert len(bench.decisions.events) == 2 * LIMIT


def test_each_event_loop_has_one_of_its_own_and_those_of_ended_loops_are_dropped() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    values = PerLoop(make)
    assert len(made) == 1

    async def both() -> tuple[object, object]:
        return values.get(), values.get()

    seen = [asyncio.run(both()) for _ in range(50)]
    assert all(one is other for one, other in seen)
    assert len(made) == 50
    assert len(values._values) == 1
