"""Opening and closing a storage of the `limits` package."""

from __future__ import annotations

import warnings
from typing import Any
from urllib.parse import urlsplit

from limits.aio.storage import (
    MemcachedStorage,
    MemoryStorage,
    MongoDBStorage,
    RedisClusterStorage,
    RedisSentinelStorage,
    RedisStorage,
)
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from querybudget.errors import SetupError
from querybudget.stores.clock import Clock
from querybudget.stores.limits.counters import NumberedCounters, RollingCounters, SlidingCounters

_CLIENT_ERRORS = ("prerequisite not available", "minimum version")
"""Parts of what `limits` says if a client is missing or too old."""

SupportedStorage = MemoryStorage | MemcachedStorage | RedisStorage | MongoDBStorage

_REDIS = (RedisStorage, RedisClusterStorage, RedisSentinelStorage)
_SCHEMES = sorted(
    scheme.removeprefix("async+")
    for kind in (MemcachedStorage, MemoryStorage, MongoDBStorage, *_REDIS)
    for scheme in kind.STORAGE_SCHEME or ()
)
"""Schemes of the storages that can refund a charge."""


class OpenStorage:
    """A storage and its counters.

    Attributes:
        counters: The counters in it.
        failures: Exceptions that mean that it cannot answer.
    """

    def __init__(self, storage: SupportedStorage, clock: Clock) -> None:
        self._storage = storage
        self.counters: SlidingCounters
        if isinstance(storage, MemoryStorage | MemcachedStorage):
            self.counters = NumberedCounters(storage, clock)
        else:
            self.counters = RollingCounters(storage, clock)
        known = storage.base_exceptions
        bases = known if isinstance(known, tuple) else (known,)
        self.failures: tuple[type[Exception], ...] = (StorageError, OSError, *bases)
        if isinstance(storage, MemcachedStorage):
            self.failures += (storage.bridge.dependency.errors.MemcachedError,)

    async def aclose(self) -> None:
        """Close its connections, which `limits` leaves to the client of each storage."""
        storage: Any = self._storage
        if isinstance(storage, MemoryStorage):
            if storage.timer:
                storage.timer.cancel()
            await storage.reset()
        elif isinstance(storage, MemcachedStorage):
            bridge: Any = storage.bridge
            (await bridge.get_storage()).connection_pool.close()
        elif isinstance(storage, MongoDBStorage):
            storage.storage.close()
        else:
            sentinel = getattr(storage.bridge, "sentinel", None)
            for client in (
                storage.bridge.get_connection(),
                storage.bridge.get_connection(readonly=True),
                *(sentinel.sentinels if sentinel else ()),
            ):
                await client.aclose()


class _MongoDB(MongoDBStorage):
    """Can be deleted half made, if its client is missing or its URL is wrong."""

    STORAGE_SCHEME = []  # noqa: RUF012 - none of its own; and its base says a list
    storage: Any = None


def open_storage(url: str, clock: Clock) -> OpenStorage:
    """Return the storage that a URL names. It connects at its first use.

    Args:
        url: As `limits` takes it, without ``async+``.
        clock: µs since the epoch.

    Raises:
        SetupError: The scheme is unknown, the storage cannot refund a charge, the URL is malformed,
            or the client is not installed.
    """
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        known = ", ".join(f"limits+{name}://" for name in _SCHEMES)
        raise SetupError(f"no storage for 'limits+{scheme}': expected one of {known}")
    _check(scheme, url)
    make = _MongoDB if scheme.startswith("mongodb") else storage_from_string
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # pymongo's, for options it leaves out
            storage = make(f"async+{url}", wrap_exceptions=True, **_options(scheme))
    except UserWarning as warning:
        raise SetupError(f"an option of the {scheme}:// URL cannot be used: {warning}") from None
    except ConfigurationError as error:
        if any(words in str(error) for words in _CLIENT_ERRORS):
            raise SetupError(f"{scheme}:// needs a client: {_install_command(scheme)}") from error
        raise SetupError(_unreadable(scheme)) from None  # its message may contain a password
    except Exception as error:  # noqa: BLE001 - each client has its own error for a malformed URL
        raise SetupError(f"{_unreadable(scheme)} ({type(error).__name__})") from None
    if not isinstance(storage, SupportedStorage):
        raise SetupError(f"limits+{scheme}:// is another storage than expected: {type(storage)}")
    return OpenStorage(storage, clock)


def _check(scheme: str, url: str) -> None:
    """Raise a SetupError for what clients ignore, or fail at only when they connect."""
    parts = urlsplit(url)
    if scheme == "memcached":
        if not parts.netloc:
            raise SetupError(_unreadable(scheme))
        if "@" in parts.netloc:
            raise SetupError("memcached:// has no users: leave user and password out of the URL")
        if parts.path.strip("/") or parts.query:
            raise SetupError("memcached:// has no options: expected nothing behind host:port")
    elif scheme in {"redis", "rediss"}:
        from querybudget.stores.redis.options import check_url  # noqa: PLC0415 - loads the client

        try:
            check_url(scheme, url.partition("://")[2])
        except ValueError as error:
            raise SetupError(f"cannot use a {scheme}:// URL as a store: {error}") from None


def _options(scheme: str) -> dict[str, Any]:
    if scheme.startswith("redis"):
        return {"implementation": "redispy"}  # the client that querybudget[redis] installs
    return {}


def _install_command(scheme: str) -> str:
    for family in ("memcached", "mongodb", "redis"):
        if scheme.startswith(family):
            return f"pip install 'querybudget[{family}]'"
    return "pip install valkey"


def _unreadable(scheme: str) -> str:
    return f"cannot parse the address: expected {scheme}://host:port, as `limits` defines it"
