"""Opening and closing a storage of the `limits` package by its URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from querybudget.stores.limits.counters import Numbered, Rolling, Windows

__all__ = ["Opened", "open_storage"]

_Known = MemoryStorage | MemcachedStorage | RedisStorage | MongoDBStorage

_SCHEMES = sorted(
    scheme.removeprefix("async+")
    for kind in (
        MemcachedStorage,
        MemoryStorage,
        MongoDBStorage,
        RedisClusterStorage,
        RedisSentinelStorage,
        RedisStorage,
    )
    for scheme in kind.STORAGE_SCHEME or ()
)
"""Of the storages that are known to give back what was charged."""


class Opened:
    """A storage, and how its counters are kept.

    Attributes:
        windows: How its counters are kept.
        failures: What is raised where it cannot answer.
    """

    def __init__(self, storage: _Known, clock: Callable[[], int]) -> None:
        self._storage = storage
        self.windows: Windows
        if isinstance(storage, MemoryStorage | MemcachedStorage):
            self.windows = Numbered(storage, clock)
        else:
            self.windows = Rolling(storage, clock)
        known = storage.base_exceptions
        bases = known if isinstance(known, tuple) else (known,)
        self.failures: tuple[type[Exception], ...] = (StorageError, OSError, *bases)
        if isinstance(storage, MemcachedStorage):
            self.failures += (storage.bridge.dependency.errors.MemcachedError,)

    async def aclose(self) -> None:
        """Let go of its connections; each kind of storage leaves that to its client."""
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
            watchers = getattr(storage.bridge, "sentinel", None)
            for client in (
                storage.bridge.get_connection(),
                storage.bridge.get_connection(readonly=True),
                *(watchers.sentinels if watchers else ()),
            ):
                await client.aclose()


class _MongoDB(MongoDBStorage):
    """What of it was made can be thrown away, where its client is missing or its URL is wrong."""

    STORAGE_SCHEME = []  # noqa: RUF012 - none of its own; and its base says a list
    storage: Any = None


def open_storage(url: str, clock: Callable[[], int]) -> Opened:
    """Make the storage that a URL of `limits` names; nothing is connected to.

    Args:
        url: As `limits` has it, without ``async+``.
        clock: µs since the epoch.

    Raises:
        SetupError: No storage is named so, it cannot keep a sliding window, or its client is not
            installed.
    """
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        known = ", ".join(f"limits+{name}://" for name in _SCHEMES)
        raise SetupError(f"no storage for 'limits+{scheme}': expected one of {known}")
    make = _MongoDB if scheme.startswith("mongodb") else storage_from_string
    try:
        storage = make(f"async+{url}", wrap_exceptions=True, **_options(scheme))
    except ConfigurationError as error:
        if any(words in str(error) for words in _OF_CLIENTS):
            raise SetupError(f"{scheme}:// needs a client: {_cure(scheme)}") from error
        raise SetupError(_unreadable(scheme)) from None  # its words may hold a password
    except Exception as error:  # noqa: BLE001 - each client has its own for a URL it cannot read
        raise SetupError(f"{_unreadable(scheme)} ({type(error).__name__})") from None
    assert isinstance(storage, _Known)  # noqa: S101 - `_SCHEMES` are theirs
    return Opened(storage, clock)


_OF_CLIENTS = ("prerequisite not available", "minimum version")
"""What `limits` says where a client is missing, or too old."""


def _options(scheme: str) -> dict[str, Any]:
    if scheme.startswith("redis"):
        return {"implementation": "redispy"}  # the client that querybudget[redis] installs
    return {}


def _cure(scheme: str) -> str:
    for family in ("memcached", "mongodb", "redis"):
        if scheme.startswith(family):
            return f"pip install 'querybudget[{family}]'"
    return "pip install valkey"


def _unreadable(scheme: str) -> str:
    return f"cannot parse the address: expected {scheme}://host:port, as `limits` defines it"
