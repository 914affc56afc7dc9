from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from querybudget.cli.main import main
from querybudget.errors import SetupError
from querybudget.redact import redact_url
from querybudget.stores.redis.connection import connect
from tests.servers.cluster import ClusterSet
from tests.servers.fixtures import Servers
from tests.servers.memcached import Memcached
from tests.servers.process import free_port
from tests.servers.redis import RedisServer

PASSWORD = "open sesame/?#@:%"
WRITTEN = "open%20sesame%2F%3F%23%40%3A%25"


def test_a_redis_server_that_works_is_described_and_left_as_it_was(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    before = redis_server.call("DBSIZE")
    assert main(["store", "check", redis_server.url]) == 0
    out = capsys.readouterr().out
    version = redis_server.call("INFO", "server").partition("redis_version:")[2].split()[0]
    assert out.startswith(f"{redis_server.url} works from here\n")
    assert f"store     Redis {version}, one server" in out
    assert "counts    together for all processes that reach it" in out
    assert "clock     the server's, " in out
    assert "(medians of 100); slowest" in out
    assert redis_server.call("DBSIZE") == before


def test_store_check_prints_json(
    redis_server: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "check", "--json", redis_server.url]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["windows"] == ["sliding", "gcra", "calendar", "lease"]
    assert found["profiles"]
    assert (found["reach"], found["atomic"], found["exact"]) == ("network", True, True)
    latency = found["latency"]
    assert 0 < latency["reserve"] <= latency["slowest"]
    assert 0 < latency["settle"] <= latency["slowest"]
    assert abs(found["clock"]) < 60_000_000
    assert any("does not save its data" in warning for warning in found["warnings"])


def test_a_cluster_is_said_to_charge_lines_one_after_the_other(
    redis_cluster: ClusterSet, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [node.call("DBSIZE") for node in redis_cluster.nodes]
    assert main(["store", "check", redis_cluster.url]) == 0
    out = capsys.readouterr().out
    assert ", a Cluster\n" in out
    assert "lines     charged one after another" in out
    assert [node.call("DBSIZE") for node in redis_cluster.nodes] == before


def test_a_server_that_drops_accounts_is_warned_of(
    redis_servers: Servers[RedisServer], capsys: pytest.CaptureFixture[str]
) -> None:
    conf = ["maxmemory 100mb", "maxmemory-policy allkeys-lru", "appendonly yes"]
    server = redis_servers(conf=conf)
    assert main(["store", "check", server.url]) == 0
    err = capsys.readouterr().err
    assert "warning: `maxmemory-policy allkeys-lru` drops accounts" in err
    assert "does not save its data" not in err, "expected no word of what appends"
    server.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert main(["store", "check", server.url]) == 0
    assert capsys.readouterr().err == ""


def test_a_clock_far_from_this_host_s_is_warned_of(
    redis_servers: Servers[RedisServer], faketime: None, capsys: pytest.CaptureFixture[str]
) -> None:
    server = redis_servers(faketime=True, conf=["appendonly yes"])
    server.set_clock(3_600)
    assert main(["store", "check", "--json", server.url]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 3_540_000_000 < found["clock"] < 3_660_000_000
    assert any("clock" in warning for warning in found["warnings"])


def test_a_password_opens_the_store_and_is_never_shown(
    redis_servers: Servers[RedisServer], capsys: pytest.CaptureFixture[str]
) -> None:
    server = redis_servers(conf=[f'requirepass "{PASSWORD}"'])
    place = f"127.0.0.1:{server.port}/0"
    assert main(["store", "check", f"redis://:{WRITTEN}@{place}"]) == 0
    out, err = capsys.readouterr()
    assert f"redis://{place} works from here" in out
    assert "sesame" not in out + err


def test_a_wrong_password_is_reported_and_never_shown(
    redis_servers: Servers[RedisServer], capsys: pytest.CaptureFixture[str]
) -> None:
    server = redis_servers(conf=["requirepass another"])
    place = f"127.0.0.1:{server.port}/0"
    assert main(["store", "check", f"redis://user:{WRITTEN}@{place}"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "the store cannot work as it is set up: the server refused" in err
    assert "check the user and password" in err
    assert "sesame" not in err
    assert "user" not in err.replace("the user and password", "").replace("username", "").replace(
        "user is disabled", ""
    )


@pytest.mark.parametrize("character", "/?#")
def test_a_password_that_splits_its_url_is_reported_and_never_shown(
    character: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"redis://:open{character}sesame@127.0.0.1:6379/0"
    assert main(["store", "check", url]) == 1
    err = capsys.readouterr().err
    assert "expected a password with / written as %2F" in err
    assert "open" not in err
    assert "sesame" not in err
    with pytest.raises(SetupError) as refused:
        connect(url, 1)
    assert "sesame" not in str(refused.value)
    assert "open" not in redact_url(url)


@pytest.mark.parametrize("url", ["redis://:open[sesame@host:6379/0", "redis://:sesame@[::1/0"])
def test_a_url_with_an_unpaired_bracket_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(SetupError, match=r"^cannot use redis://.* as a store: ") as refused:
        connect(url, 1)
    assert "sesame" not in str(refused.value)


def test_a_port_without_a_server_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    for scheme in ("redis", "memcached", "redis+cluster"):
        url = f"{scheme}://127.0.0.1:{free_port()}"
        assert main(["store", "check", url]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith(f"querybudget: {url} does not work from here: ")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("abacus://", "no store for 'abacus': expected one of `memory://`, `sqlite://`"),
        ("nothing", "no store for 'nothing'"),
        ("sqlite://", "names no file"),
        ("sqlite:///no/such/directory/budgets.db", "there is no directory"),
        ("redis+sentinel://127.0.0.1:26379", "expected the name of the master"),
    ],
)
def test_a_url_that_names_no_store_is_reported(
    url: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "check", url]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert expected in err


def test_memory_is_reported_to_end_with_its_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "check", "memory://"]) == 0
    out, err = capsys.readouterr()
    assert "store     memory of this process" in out
    assert "accounts  end with this process" in out
    assert "clock     this host's" in out
    assert err == ""


def test_a_new_sqlite_file_is_removed_after_its_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "budgets.db"
    assert main(["store", "check", f"sqlite:///{path}"]) == 0
    out, err = capsys.readouterr()
    assert f"store     SQLite {sqlite3.sqlite_version}\n" in out
    assert "note      a file on a network file system can fail" in out
    assert err == "", "expected no warning of what may not be so"
    assert "counts    together for the processes of this machine" in out
    assert list(tmp_path.iterdir()) == []


def test_an_existing_sqlite_file_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "budgets.db"
    path.touch()
    assert main(["store", "check", "--json", f"sqlite:///{path}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == path.stat().st_size > 0
    assert path.exists()


def test_memcached_limits_are_reported_as_estimated(
    memcached_server: Memcached, capsys: pytest.CaptureFixture[str]
) -> None:
    version = memcached_server.call("version")[0].split()[1]
    assert main(["store", "check", memcached_server.url]) == 0
    out, err = capsys.readouterr()
    assert f"store     memcached {version}" in out
    assert "keeps     sliding windows\n" in out
    assert "limits    estimated" in out
    assert "limits are not exact: near the end of a window" in err
