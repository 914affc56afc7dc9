from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.cluster import ClusterSet
from tests.servers.fixtures import Servers
from tests.servers.memcached import Memcached
from tests.servers.process import ServerError
from tests.servers.redis import RedisServer
from tests.servers.resp import ReplyError
from tests.servers.sentinel import SentinelSet

DAY = 86_400


def seconds(server: RedisServer) -> int:
    return int(server.call("TIME")[0])


def test_commands_are_answered_and_errors_are_raised(redis_server: RedisServer) -> None:
    redis_server.flush()
    raw = bytes(range(256))
    assert redis_server.call("SET", "k", raw) == "OK"
    assert redis_server.call("GET", "k").encode(errors="surrogateescape") == raw
    assert redis_server.call("GET", "none") is None
    assert redis_server.call("INCRBY", "n", 7) == 7
    assert redis_server.call("MGET", "n", "none") == ["7", None]
    with pytest.raises(ReplyError, match="unknown command"):
        redis_server.call("NONSENSE")


def test_a_socket_file_is_created(redis_server: RedisServer) -> None:
    assert Path(redis_server.unix_url.removeprefix("redis+unix://")).is_socket()


def test_a_killed_server_refuses_and_comes_back_empty(redis_servers: Servers[RedisServer]) -> None:
    server = redis_servers()
    url = server.url
    server.call("SET", "k", "v")
    server.kill()
    with pytest.raises(OSError, match="refused"):
        server.call("PING")
    server.start()
    assert server.url == url
    assert server.call("GET", "k") is None


def test_a_killed_server_that_appends_comes_back_with_its_data(
    redis_servers: Servers[RedisServer],
) -> None:
    server = redis_servers(conf=["appendonly yes", "appendfsync always"])
    server.call("SET", "k", "v")
    server.kill()
    server.start()
    assert server.call("GET", "k") == "v"


def test_a_frozen_server_answers_when_it_continues(redis_servers: Servers[RedisServer]) -> None:
    server = redis_servers()
    server.pause()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.servers.resp.TIMEOUT", 0.05)
        with pytest.raises(TimeoutError):
            server.call("PING")
    server.resume()
    assert server.call("PING") == "PONG"


def test_a_frozen_server_can_be_killed(redis_servers: Servers[RedisServer]) -> None:
    server = redis_servers()
    server.pause()
    server.kill()
    server.start()
    assert server.call("PING") == "PONG"


def test_a_server_with_a_mistake_in_its_configuration_says_so() -> None:
    server = RedisServer(conf=["no-such-word yes"])
    with pytest.raises(ServerError, match="no-such-word"):
        server.start()
    server.stop()
    assert not server.directory.exists()


def test_the_clock_is_set_forth_and_back_while_it_runs(
    redis_servers: Servers[RedisServer], faketime: None
) -> None:
    server = redis_servers(faketime=True)
    begin = seconds(server)
    server.set_clock(DAY)
    assert DAY <= seconds(server) - begin < DAY + 60
    server.set_clock(-DAY)
    assert -DAY <= seconds(server) - begin < -DAY + 60
    server.call("SET", "k", "v", "EX", 3 * DAY)
    server.set_clock(3 * DAY)
    assert server.call("GET", "k") is None


def test_scripts_use_the_clock_that_was_set(
    redis_servers: Servers[RedisServer], faketime: None
) -> None:
    server = redis_servers(faketime=True)
    server.set_clock(DAY)
    script = "return redis.call('TIME')[1]"
    assert abs(int(server.call("EVAL", script, 0)) - seconds(server)) <= 1


def test_the_replica_takes_over_and_keeps_what_was_written(
    sentinel_sets: Servers[SentinelSet],
) -> None:
    servers = sentinel_sets()
    first = servers.master
    assert set(servers.named()) == {first.port}
    servers.master.call("SET", "k", "v")
    assert servers.master.call("WAIT", 1, 5000) == 1
    servers.fail_over()
    assert set(servers.named()) == {servers.master.port} != {first.port}
    assert servers.master.call("GET", "k") == "v"
    assert servers.master.call("SET", "k", "w") == "OK"
    assert servers.url.startswith("redis+sentinel://127.0.0.1:")


def test_each_node_has_a_third_and_names_the_owner_of_the_rest(redis_cluster: ClusterSet) -> None:
    redis_cluster.flush()
    keys = [f"key-{index}" for index in range(50)]
    owners = {redis_cluster.owner(redis_cluster.slot_of(key)).port for key in keys}
    assert owners == {node.port for node in redis_cluster.nodes}
    slot = redis_cluster.slot_of("k")
    owner = redis_cluster.owner(slot)
    assert owner.call("SET", "k", "v") == "OK"
    other = next(node for node in redis_cluster.nodes if node is not owner)
    with pytest.raises(ReplyError, match=f"MOVED {slot} 127.0.0.1:{owner.port}"):
        other.call("GET", "k")
    assert redis_cluster.slot_of("{k}:more") == slot


def test_a_slot_moves_in_steps_with_its_keys(cluster_sets: Servers[ClusterSet]) -> None:
    cluster = cluster_sets()
    slot = cluster.slot_of("{k}")
    source = cluster.owner(slot)
    target = next(node for node in cluster.nodes if node is not source)
    for name in ("{k}1", "{k}2", "{k}3"):
        source.call("SET", name, "v")
    cluster.begin_migration(slot, target)
    assert source.call("GET", "{k}1") == "v"
    assert cluster.move_keys(slot, 1) == 1
    assert source.call("CLUSTER", "COUNTKEYSINSLOT", slot) == 2
    with pytest.raises(ReplyError, match=f"ASK {slot}"):
        source.call("GET", "{k}new")
    assert cluster.move_keys(slot) == 2
    cluster.end_migration(slot)
    assert cluster.owner(slot) is target
    assert target.call("GET", "{k}1") == "v"
    with pytest.raises(ReplyError, match="MOVED"):
        source.call("GET", "{k}1")
    cluster.migrate(slot, source)
    assert source.call("GET", "{k}3") == "v"


def test_memcached_counts_and_forgets_when_killed(memcached_servers: Servers[Memcached]) -> None:
    server = memcached_servers()
    assert server.call("version")[0].startswith("VERSION ")
    assert server.call("incr", "n", 1) == ["NOT_FOUND"]
    assert server.call("set", "n", 0, 0, "1\r\n5") == ["STORED"]
    assert server.call("incr", "n", 2) == ["7"]
    assert server.get("n") == "7"
    server.kill()
    with pytest.raises(OSError, match="refused"):
        server.call("version")
    server.start()
    assert server.get("n") is None


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux waits for others' children")
def test_no_server_outlives_tests_that_are_killed(redis_server: RedisServer) -> None:
    program = (
        "import sys; from tests.servers import RedisServer\n"
        "server = RedisServer().start(); print(server.process.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout
        pid = int(tests.stdout.readline())
        watch = os.pidfd_open(pid)
        try:
            tests.send_signal(signal.SIGKILL)
            ended, _, _ = select.select([watch], [], [], 10)
        finally:
            os.close(watch)
    assert ended, f"expected server {pid} to be killed with its tests, found it running"
