"""What operators do on Redis: permissions, bounds, lists of many keys, and other workers."""

from __future__ import annotations

import itertools

import pytest

from querybudget.coverage.caller import CallerProfile
from querybudget.errors import SetupError, StoreError
from querybudget.ledger import Charge, Line
from querybudget.overrides import AuditEntry, Override
from querybudget.stores import StoreSettings
from querybudget.stores.redis import RedisStore, changes, codec, listing
from querybudget.stores.redis.scripts import PROBATION
from querybudget.testing import ManualClock
from querybudget.testing.contracts.profiles import covered, swept
from querybudget.units import MICRO, NO_TIME, SECOND, Algorithm, Micros, Quota, Unit
from tests.servers import ClusterSet, RedisServer
from tests.servers.fixtures import Servers
from tests.stores.test_redis_setup import ACL

pytestmark = pytest.mark.anyio

FOR_OPERATORS = (
    "+scan +hset +hdel +hlen +hexists +hgetall +zadd +zrem +zrangebyscore +lpush +ltrim +lrange"
)
"""What the page on stores lists for operators."""

MONTH = 2_592_000 * SECOND
MONTHLY = Quota("month", Unit.REQUESTS, 9 * MICRO, MONTH, Algorithm.SLIDING, MICRO)
PREFIXES = (f"operators-{number}" for number in itertools.count())
NOTE = AuditEntry(NO_TIME, "operator", "override", "caller")
ODD = ("a}b|org:{x", "100%|org:{x", "%", "%7D", "*|org:?", "org:[x]|new\nline")


def fresh(url: str) -> StoreSettings:
    return StoreSettings(url, timeout=10 * SECOND, prefix=next(PREFIXES))


async def called(
    store: RedisStore, partition: str, name: str = "call", *, verified: bool = True
) -> None:
    line = Line(partition, MONTHLY, MICRO, MICRO)
    assert (await store.reserve(Charge(name, (line,), 60 * SECOND, verified=verified))).admitted


def sweeping(name: str, number: int, *lines: Line, verified: bool = True) -> Charge:
    return Charge(
        name,
        (covered(), *lines),
        60 * SECOND,
        observation=swept(number),
        profiled=("caller",),
        verified=verified,
    )


async def keys(store: RedisStore, part: str = "", limit: int = 100) -> set[str]:
    found, cursor = set[str](), ""
    while True:
        page = await store.accounts(cursor, limit, part)
        found |= {record.partition for record in page.records}
        cursor = page.cursor
        if not cursor:
            return found


async def test_a_user_with_the_documented_permissions_may_do_what_operators_do(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers(conf=[f"user budgets on >word {ACL} {FOR_OPERATORS}"])
    url = f"redis://budgets:word@127.0.0.1:{server.port}/0"
    store = RedisStore(StoreSettings(url, timeout=10 * SECOND))
    ends = {"never": NO_TIME, "ended": Micros(1), "later": Micros(2**60)}
    for name, until in ends.items():
        await store.override(Override(name, "caller", until=until), NOTE)
    found = await store.overrides()
    assert found
    assert [entry.id for entry in found.entries] == ["later", "never"]
    assert await store.remove_override("later", NOTE)
    assert len(await store.audit()) == 4
    await called(store, "stranger", verified=False)
    assert await keys(store) == {"stranger"}
    assert not await store.pardon("stranger")
    await store.aclose()


async def test_bounds_hold_and_ended_overrides_make_room(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MAX_OVERRIDES", 3)
    monkeypatch.setattr(changes, "AUDITED", 5)
    clock = ManualClock()
    store = RedisStore(fresh(redis_server.url), clock=clock)
    for number in range(3):
        entry = Override(f"{number}", "caller", until=Micros(clock.now + 1 + number))
        await store.override(entry, NOTE)
    await store.override(Override("1", "another"), NOTE)
    with pytest.raises(SetupError, match="at most"):
        await store.override(Override("4", "caller"), NOTE)
    clock.advance(us=1)
    await store.override(Override("4", "caller"), NOTE)
    found = await store.overrides()
    assert found
    assert [entry.id for entry in found.entries] == ["1", "2", "4"]
    await store.note(NOTE)
    assert len(await store.audit(99)) == 5
    await store.aclose()


@pytest.mark.parametrize("place", ["server", "cluster"])
async def test_accounts_are_found_among_the_keys_of_others_whatever_they_are_called(
    request: pytest.FixtureRequest, place: str
) -> None:
    server: RedisServer | ClusterSet = request.getfixturevalue(f"redis_{place}")
    stores = [RedisStore(fresh(server.url)) for _ in range(2)]
    for store in stores:
        for name in ODD:
            await called(store, name, name)
        await store.override(Override("one", "caller"), NOTE)
    expected = set(ODD)
    assert await keys(stores[0]) == expected
    assert await keys(stores[0], limit=1) == expected
    for part in ("org:{x", "org:?", "org:[x]", "%", "a}b"):
        assert await keys(stores[0], part) == {name for name in ODD if part in name.split("|")}
    assert not await keys(stores[0], "org:x")
    for store in stores:
        await store.aclose()


async def test_a_list_of_other_masters_is_begun_again(redis_cluster: ClusterSet) -> None:
    store = RedisStore(fresh(redis_cluster.url))
    with pytest.raises(StoreError, match="begin it again"):
        await store.accounts("scan:5@elsewhere:1")
    await store.aclose()


async def test_a_page_looks_at_a_bounded_number_of_keys(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "SCANS", 1)
    monkeypatch.setattr(listing, "FILTERED", 1)
    store = RedisStore(fresh(redis_server.url))
    for number in range(50):
        await called(store, f"caller-{number}|org:a", f"{number}")
    await called(store, "wanted|org:b", "wanted")
    page = await store.accounts("", 100, "org:b")
    assert page.cursor
    assert await keys(store, "org:b") == {"wanted|org:b"}
    await store.aclose()


async def test_an_account_that_knows_no_last_call_is_shown_and_goes_on(
    redis_server: RedisServer,
) -> None:
    """As a version wrote it that did not keep one."""
    store = RedisStore(fresh(redis_server.url))
    await called(store, "caller")
    key = store._single.key("caller")
    packed = await store._single.connection.execute("GET", key)
    records = [(name, record) for name, record in codec.records(packed) if name != "@"]
    older = packed[: codec._ACCOUNT_HEAD] + b"".join(
        bytes([len(name)]) + name.encode() + len(record).to_bytes(3, "big") + record
        for name, record in records
    )
    await store._single.connection.execute("SET", key, older)
    record = await store.account("caller")
    assert record
    assert (record.account.seen, record.account.tier, record.known) == (0, "", True)
    await called(store, "caller", "again", verified=False)
    record = await store.account("caller")
    assert record
    assert record.account.seen
    await store.aclose()


async def test_an_account_of_a_later_version_is_listed_as_empty(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore(fresh(redis_server.url))
    await store._single.connection.execute("SET", store._single.key("caller"), b"\x09" * 40)
    page = await store.accounts()
    while not page.records and page.cursor:  # other tests' keys came first
        page = await store.accounts(page.cursor)
    assert [(record.partition, record.account.windows) for record in page.records] == [
        ("caller", {})
    ]
    assert "later version" in caplog.text
    with pytest.raises(StoreError, match="later version"):
        await store.account("caller")
    await store.aclose()


async def test_a_pardon_outlives_calls_and_what_other_workers_know(
    redis_server: RedisServer,
) -> None:
    settings = fresh(redis_server.url)
    mine, other = RedisStore(settings), RedisStore(settings)
    for number in range(40):
        store = (mine, other)[number % 2]
        assert (await store.reserve(sweeping(f"{number}", number))).admitted
    assert await mine.pardon("caller")
    decision = await other.reserve(sweeping("after", 0))
    assert decision.reservation
    assert (decision.lines[0].strain, decision.reservation.held) == (0, (0,))
    record = await mine.account("caller")
    assert record
    assert isinstance(record.account.profile, CallerProfile)
    assert record.account.profile.calls == 41
    assert not record.account.profile.last_score
    for store in (mine, other):
        await store.aclose()


async def test_a_pardon_keeps_an_account_on_probation_there(redis_server: RedisServer) -> None:
    store = RedisStore(fresh(redis_server.url))
    line = Line("caller", MONTHLY, MICRO, MICRO)
    assert (await store.reserve(sweeping("call", 0, line, verified=False))).admitted
    assert await store.pardon("caller")
    left = await store._single.connection.execute("PTTL", store._single.key("caller"))
    assert left < 2 * PROBATION
    record = await store.account("caller")
    assert record
    assert not record.known
    await store.aclose()
