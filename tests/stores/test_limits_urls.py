from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

import pytest

from querybudget.backends import StoreSettings
from querybudget.errors import SetupError
from querybudget.limiter import Limiter
from querybudget.policy import Policy
from querybudget.stores import MemoryStore, open_store
from querybudget.testing import ManualClock

SECRET = "hunter2"


def refusal(storage: StoreSettings | str) -> str:
    with pytest.raises(SetupError) as refused:
        open_store(storage, ManualClock())
    for error in (refused.value.__cause__, refused.value):
        assert SECRET not in str(error)
    return str(refused.value)


def test_an_unknown_storage_is_refused_with_the_known_ones() -> None:
    said = refusal(f"limits+nonsense://user:{SECRET}@host:1")
    assert said.startswith("no storage for 'limits+nonsense': expected one of limits+memcached://")
    assert "limits+redis+cluster://" in said


@pytest.mark.parametrize(
    ("url", "module", "cure"),
    [
        ("memcached://127.0.0.1:1", "memcachio", "pip install 'querybudget[memcached]'"),
        ("mongodb://127.0.0.1:1", "motor.motor_asyncio", "pip install 'querybudget[mongodb]'"),
        ("limits+redis://127.0.0.1:1", "redis", "pip install 'querybudget[redis]'"),
        ("limits+rediss://127.0.0.1:1", "redis", "pip install 'querybudget[redis]'"),
        ("limits+valkey://127.0.0.1:1", "valkey", "pip install valkey"),
    ],
)
def test_a_missing_client_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, cure: str
) -> None:
    package = module.partition(".")[0]

    class Missing(MetaPathFinder):
        def find_spec(self, name: str, *_: Sequence[str] | object) -> ModuleSpec | None:
            if name.partition(".")[0] == package:
                raise ModuleNotFoundError(name)
            return None

    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    assert refusal(url).endswith(cure)


def test_a_client_that_is_too_old_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memcachio = pytest.importorskip("memcachio")
    monkeypatch.setattr(memcachio, "__version__", "0.1")
    assert refusal("memcached://127.0.0.1:1").endswith("pip install 'querybudget[memcached]'")


@pytest.mark.parametrize(
    "url",
    [
        f"mongodb://user:{SECRET}@host:1:2/",
        f"limits+redis+sentinel://user:{SECRET}@host:1",
        f"limits+redis://user:{SECRET}@host:port",
    ],
)
def test_a_malformed_address_is_refused_without_showing_its_password(url: str) -> None:
    scheme = url.partition("://")[0].removeprefix("limits+")
    assert f"expected {scheme}://host:port" in refusal(url)


@pytest.mark.parametrize("prefix", ["two words", "tab\tbed", "ümlaut", 101 * "x"])
def test_a_prefix_that_some_storage_does_not_accept_is_refused(prefix: str) -> None:
    assert refusal(StoreSettings("limits+memory://", prefix=prefix)).startswith("prefix: expected")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"memcached://user:{SECRET}@host:1", "has no users"),
        ("memcached://", "expected memcached://host:port"),
        ("memcached:///run/memcached.sock", "expected memcached://host:port"),
        ("memcached://host:1?timeout=3", "has no options"),
        ("memcached://host:1/0", "has no options"),
        ("mongodb://host:1/?tsl=true", "an option of the mongodb:// URL"),
        ("mongodb://host:1/?serverSelectionTimeoutMS=soon", "an option of the mongodb:// URL"),
        ("limits+redis://host:1?decode_responses=1", "`decode_responses`"),
        ("limits+redis://host:1?socket_timout=1", "did you mean `socket_timeout`"),
    ],
)
def test_what_a_client_would_ignore_is_refused(url: str, words: str) -> None:
    assert words in refusal(url)


@pytest.mark.anyio
@pytest.mark.parametrize("error", [ValueError("a secret"), TypeError(), KeyError("x")], ids=repr)
async def test_a_bug_at_the_start_of_a_store_fails_the_start(error: Exception) -> None:
    class Wrong(MemoryStore):
        async def start(self) -> None:
            raise error

    rules = {"version": 1, "budgets": [{"name": "n", "limit": "9/minute"}]}
    limiter = Limiter(Policy.load(rules), store=Wrong(ManualClock()))
    with pytest.raises(SetupError, match=f"cannot start: {type(error).__name__}$"):
        await limiter.start()
