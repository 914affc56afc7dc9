"""Operations are functions where a server has them, scripts elsewhere, and take several calls."""

from __future__ import annotations

import asyncio
import itertools
from zoneinfo import ZoneInfo

import pytest

from querybudget.errors import StoreError
from querybudget.ledger import Settled
from querybudget.ledger.calendar import Calendar
from querybudget.stores.redis import codec, scripts
from querybudget.stores.redis.pipelining import RUN_LENGTH
from querybudget.testing.contracts.fixtures import quota_of
from querybudget.units import MICRO, SECOND, Algorithm, Period, Quota, Unit
from tests.servers.fixtures import Servers
from tests.servers.redis import RedisServer
from tests.stores.test_redis_store import charge, left, opened

pytestmark = pytest.mark.anyio

PREFIXES = (f"functions-{number}" for number in itertools.count())
SLIDING = quota_of(Algorithm.SLIDING)


def ran(server: RedisServer) -> dict[str, int]:
    """How often commands ran that are named here."""
    found: dict[str, int] = {}
    for line in server.call("INFO", "commandstats").splitlines():
        name, _, rest = line.removeprefix("cmdstat_").partition(":calls=")
        if name in {"fcall", "evalsha", "function|load", "script|load"}:
            found[name] = int(rest.partition(",")[0])
    return found


async def test_calls_run_as_functions_of_a_library_that_is_loaded_once(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers()
    for name in ("one", "two"):
        async with opened(server.url, name) as store:
            decision = await store.reserve(charge("call"))
            assert decision.reservation
            await store.settle(decision.reservation, [MICRO])
            assert await left(store) == 9
    assert ran(server) == {"fcall": 7, "function|load": 1}, "expected three calls each, one again"


@pytest.mark.parametrize("conf", ['rename-command FCALL ""', 'rename-command FUNCTION ""'])
async def test_a_server_without_functions_runs_scripts(
    redis_servers: Servers[RedisServer], conf: str
) -> None:
    server = redis_servers(conf=[conf])
    async with opened(server.url, "scripts") as store:
        assert (await store.reserve(charge("call"))).admitted
        assert (await store.reserve(charge("another"))).admitted
        assert await left(store) == 8
    assert ran(server)["evalsha"] == 4, "expected three calls, and one whose script was unknown"


async def test_calls_of_one_moment_are_one_run_and_settle_in_one(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers()
    async with opened(server.url, "runs") as store:
        assert await left(store) == 10  # loads the library
        before = ran(server)["fcall"]
        names = [f"call-{number}" for number in range(RUN_LENGTH)]
        decisions = await asyncio.gather(
            *(store.reserve(charge(name, partition=name)) for name in names)
        )
        held = [decision.reservation for decision in decisions if decision.reservation]
        assert len(held) == RUN_LENGTH
        settled = await asyncio.gather(*(store.settle(one, [MICRO]) for one in held))
        assert set(settled) == {Settled.DONE}
    assert ran(server)["fcall"] - before == 2


async def test_functions_that_are_deleted_between_calls_are_loaded_again(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers()
    async with opened(server.url, "deleted") as store:
        for number in range(3):
            server.call("FUNCTION", "FLUSH")
            assert (await store.reserve(charge(f"call-{number}"))).admitted
        assert await left(store) == 7


@pytest.mark.parametrize("functions", [True, False])
async def test_a_call_that_fails_does_not_fail_those_of_its_run(
    redis_servers: Servers[RedisServer], functions: bool
) -> None:
    server = redis_servers(conf=[] if functions else ['rename-command FCALL ""'])
    async with opened(server.url, "apart") as store:
        server.call("SET", "apart:{broken}", "not an account")
        server.call("HSET", "apart:{other kind}", "one", "1")
        names = ["first", "broken", "second", "other kind", "third"]
        ends = await asyncio.gather(
            *(store.reserve(charge(name, partition=name)) for name in names),
            return_exceptions=True,
        )
        failed = {
            name: end for name, end in zip(names, ends, strict=True) if isinstance(end, StoreError)
        }
        assert list(failed) == ["broken", "other kind"]
        assert "another `prefix`" in str(failed["other kind"])
    assert server.call("GET", "apart:{broken}") == "not an account"


def test_a_library_is_named_by_what_it_does() -> None:
    names = {scripts.reserve().function, scripts.settle().function}
    assert {name.rpartition(b"_")[0] for name in names} == {
        scripts.reserve().library.split()[1][5:]
    }


def test_periods_of_a_calendar_are_remembered_until_the_present_one_ends() -> None:
    month = Calendar(Period.MONTH, ZoneInfo("Europe/Berlin"))
    quota = Quota("m", Unit.USD, MICRO, 0, Algorithm.CALENDAR, MICRO, bounds=month)
    begin, end = month(1_764_000_000 * SECOND)
    remembering = codec.QuotaCodec()
    for moment in (begin, end - 1, end, begin - 1, begin):
        assert remembering.pack(quota, (moment,)) == codec.QuotaCodec().pack(quota, (moment,))
    assert remembering.pack(quota, (begin,)) is remembering.pack(quota, (end - 1,))
    longer = remembering.pack(quota, (begin, month(begin - 1)[0] - 1, 3))
    assert len(longer) > len(remembering.pack(quota, (begin,)))
