"""`querybudget store check`: whether a store works from here, how fast, and what it keeps."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from querybudget.backends import BUCKETS, WORDS, Guarantees, StoreSettings
from querybudget.errors import QueryBudgetError, StoreError
from querybudget.ledger import Charge, Line
from querybudget.redact import redact_error, redact_url
from querybudget.stores import Declares, Starts, Store, open_store, system_clock
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

if TYPE_CHECKING:
    from querybudget.stores.redis import RedisStore

CALLS, CALLERS = 100, 10
TIMEOUT = 30
"""Seconds to wait for a store."""

CLOCK_SKEW = SECOND // 2
"""Largest difference in µs between the server's clock and this host's without a warning."""

OLDEST_REDIS = 5
"""Older releases of Redis do not let a script write after it has read the time."""

_QUOTA = Quota("check", Unit.REQUESTS, CALLS * MICRO, 60 * SECOND, Algorithm.SLIDING, CALLS * MICRO)
_REACH = {
    "process": "one process, so each worker has its own limits",
    "host": "the processes of this machine",
    "network": "all processes that reach it",
}


class Latency(msgspec.Struct, frozen=True):
    """How long `CALLS` calls took, µs."""

    reserve: int
    settle: int
    slowest: int


class StoreReport(msgspec.Struct, frozen=True):
    """The result for a store that works.

    Attributes:
        url: The URL without its password.
        kind: The server or library and its version.
        size: Bytes of its file; None if it has none or had none before.
        windows: The kinds of window that it keeps.
        reach: Which processes count together: ``process``, ``host`` or ``network``.
        atomic: Whether all lines of a call are charged in one step.
        exact: Whether waits and limits are exact.
        durable: Whether accounts outlive the process.
        profiles: Whether it keeps profiles, without which there are no limits in buckets.
        latency: Of a call's two steps, µs: the medians, and the slowest of all.
        clock: µs by which the server's clock is ahead of this host's; None if it has none of its
            own.
        warnings: What works but is probably not meant.
        note: What to know about every store of this kind; empty for nothing.
    """

    url: str
    kind: str
    size: int | None
    windows: tuple[str, ...]
    reach: str
    atomic: bool
    exact: bool
    durable: bool
    profiles: bool
    latency: Latency
    clock: int | None
    warnings: tuple[str, ...]
    note: str = ""


class _Description(msgspec.Struct):
    """What one kind of store reports about itself."""

    kind: str
    size: int | None = None
    clock: int | None = None
    warnings: list[str] = []
    note: str = ""


def check_store(url: str, *, as_json: bool) -> int:
    """Use a store, print the result, and remove everything that was created.

    Raises:
        SetupError: The URL names no store, or one that can never work with this URL.
        StoreError: The store does not work now; the message says what to check.
    """
    place = redact_url(url)
    try:
        report = asyncio.run(_report(url, place))
    except TimeoutError:
        raise StoreError(f"{place} does not work: no answer within {TIMEOUT} s") from None
    except QueryBudgetError as error:
        words = redact_error(str(error), url)
        if not isinstance(error, StoreError):
            raise type(error)(words) from None
        found = f"expected an answer, found: {words.rstrip('.')}"
        raise StoreError(f"{place} does not work from here: {found}. {_advice(url)}") from None
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _print(report)
    return 0


async def _report(url: str, place: str) -> StoreReport:
    prefix = f"querybudget-check-{os.urandom(6).hex()}"
    new = _files(url, there=False)
    clock = system_clock()
    store = open_store(StoreSettings(url, timeout=2 * SECOND, prefix=prefix), clock)
    try:
        async with asyncio.timeout(TIMEOUT):
            if isinstance(store, Starts):
                await store.start()
            description = await _describe(store, url)
            latency = await _measured(store, prefix)
    finally:
        await store.aclose()
        for path in new:
            path.unlink(missing_ok=True)
    guarantees = (
        store.guarantees if isinstance(store, Declares) else Guarantees(frozenset(), "process")
    )
    return StoreReport(
        url=place,
        kind=description.kind,
        size=None if new else description.size,
        windows=tuple(kind.value for kind in Algorithm if kind in guarantees.windows),
        reach=guarantees.reach,
        atomic=guarantees.atomic,
        exact=guarantees.exact,
        durable=guarantees.durable,
        profiles=guarantees.profiles,
        latency=latency,
        clock=description.clock,
        warnings=(*description.warnings, *_warnings(guarantees, description)),
        note=description.note,
    )


async def _measured(store: Store, prefix: str) -> Latency:
    """Measure calls, one after another, on accounts that are deleted afterwards."""
    callers = [f"{prefix}-{number}" for number in range(CALLERS)]
    reserves: list[int] = []
    settles: list[int] = []
    try:
        for number in range(CALLS):
            line = Line(callers[number % CALLERS], _QUOTA, MICRO, MICRO)
            begin = time.perf_counter_ns()
            decision = await store.reserve(Charge(f"{prefix}-{number}", (line,), 60 * SECOND))
            between = time.perf_counter_ns()
            if decision.reservation is None:
                raise StoreError("the store refused a request that should have been admitted")
            await store.settle(decision.reservation, (MICRO,))
            reserves.append(between - begin)
            settles.append(time.perf_counter_ns() - between)
    finally:
        for caller in callers:
            await store.forget(caller)
    median = statistics.median_low
    slowest = max(*reserves, *settles)
    return Latency(median(reserves) // 1_000, median(settles) // 1_000, slowest // 1_000)


# -- What each kind says of itself ---------------------------------------------------------------


async def _describe(store: Store, url: str) -> _Description:
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        return _describe_sqlite(url)
    if scheme.startswith(("redis", "valkey")):
        from querybudget.stores.redis import RedisStore  # noqa: PLC0415 - loads its client

        if isinstance(store, RedisStore):
            return await _describe_redis(store)
    if scheme == "memcached":
        return _Description(await _memcached(url))
    return _Description("memory of this process" if scheme == "memory" else f"{scheme} of `limits`")


def _describe_sqlite(url: str) -> _Description:
    return _Description(
        f"SQLite {sqlite3.sqlite_version}",
        sum(path.stat().st_size for path in _files(url, there=True)[:1]),
        note="a file on a network file system can fail without an error: use a local disk",
    )


async def _describe_redis(store: RedisStore) -> _Description:
    info = await store.describe()
    begin = time.time_ns()
    now = await store.now()
    ahead = now - (begin + time.time_ns()) // 2_000
    modes = {"cluster": "a Cluster", "standalone": "one server"}
    mode = modes.get(info.get("redis_mode", ""), "a server")
    name, version = _version(info)
    return _Description(f"{name} {version}, {mode}", clock=ahead, warnings=[*_redis_warnings(info)])


def _version(info: Mapping[str, str]) -> tuple[str, str]:
    if info.get("valkey_version"):
        return "Valkey", info["valkey_version"]
    return "Redis", info.get("redis_version", "of unknown version")


def _redis_warnings(info: Mapping[str, str]) -> Iterable[str]:
    name, version = _version(info)
    major = version.partition(".")[0]
    if name == "Redis" and major.isdecimal() and int(major) < OLDEST_REDIS:
        yield f"Redis {version} is too old: expected {OLDEST_REDIS} or later"
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and info.get("maxmemory", "0") != "0":
        yield (
            f"`maxmemory-policy {policy}` drops accounts when memory is short, so their callers"
            " start with full budgets: set it to noeviction"
        )
    if info.get("save") == "" and info.get("aof_enabled", "0") == "0":
        yield (
            "the server does not save its data, so a restart resets all accounts: `appendonly yes`"
            " keeps them"
        )


async def _memcached(url: str) -> str:
    """The version of a memcached server, the first if there are several."""
    parts = urlsplit(f"//{urlsplit(url).netloc.rpartition('@')[2].partition(',')[0]}")
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 11_211)
        try:
            writer.write(b"version\r\n")
            reply = (await reader.readline()).split()
        finally:
            writer.close()
            await writer.wait_closed()
    except (OSError, ValueError):
        reply = []
    return f"memcached {reply[1].decode('ascii', 'replace')}" if reply[1:] else "memcached"


def _warnings(guarantees: Guarantees, description: _Description) -> Iterable[str]:
    if description.clock is not None and abs(description.clock) > CLOCK_SKEW:
        yield (
            "the server's clock differs from this host's: calls use the server's, events and logs"
            " use this host's"
        )
    if not guarantees.exact:
        yield "limits are not exact: near the end of a window, more than the limit can be granted"


# -- Words ---------------------------------------------------------------------------------------


def _print(report: StoreReport) -> None:
    latency = report.latency
    keeps = [WORDS[Algorithm(kind)] for kind in report.windows] + [BUCKETS] * report.profiles
    speed = f"reserve {_ms(latency.reserve)}, settle {_ms(latency.settle)} (medians of {CALLS})"
    rows = [
        ("store", report.kind + (f", {report.size:,} bytes" if report.size else "")),
        ("keeps", ", ".join(keeps)),
        ("counts", f"together for {_REACH.get(report.reach, report.reach)}"),
        ("lines", "charged in one step" if report.atomic else "charged one after another"),
        ("limits", "exact" if report.exact else "estimated"),
        ("accounts", "outlive this process" if report.durable else "end with this process"),
        ("latency", f"{speed}; slowest {_ms(latency.slowest)}"),
        ("clock", _clock(report.clock)),
    ]
    if report.note:
        rows.append(("note", report.note))
    print(f"{report.url} works from here")
    for name, value in rows:
        print(f"  {name:8}  {value}")
    for warning in report.warnings:
        print(f"{report.url}: warning: {warning}", file=sys.stderr)


def _ms(time: int) -> str:
    return f"{time / 1_000:.2f} ms"


def _clock(ahead: int | None) -> str:
    if ahead is None:
        return "this host's"
    return f"the server's, {_ms(abs(ahead))} {'ahead of' if ahead >= 0 else 'behind'} this host's"


def _advice(url: str) -> str:
    if url.startswith("sqlite"):
        return "Check the file, its directory and their permissions"
    return "Check the address, the password and the firewall"


def _files(url: str, *, there: bool) -> list[Path]:
    """The files of an SQLite store, that are there, or that are not."""
    scheme, _, rest = url.partition("://")
    name = unquote(rest.partition("?")[0].removeprefix("/"))
    if scheme != "sqlite" or not name:
        return []
    files = [Path(name + end) for end in ("", "-wal", "-shm")]
    return files if files[0].exists() == there else []
