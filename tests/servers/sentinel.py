"""A master, its replica, and three sentinels that promote the replica."""

from __future__ import annotations

from contextlib import ExitStack

from tests.servers.redis import RedisServer
from tests.servers.server import ServerSet

__all__ = ["SentinelSet"]

NAME = "mymaster"
_SENTINELS = 3


class SentinelSet(ServerSet):
    """One master, one replica, three sentinels.

    Attributes:
        master: The server that takes writes.
        replica: The server that follows it.
        sentinels: The three sentinels.
    """

    def __init__(self, binary: str = "redis-server") -> None:
        super().__init__(binary)
        self.sentinels: list[RedisServer] = []
        self.master = RedisServer(binary)
        self.replica = RedisServer(binary)

    @property
    def url(self) -> str:
        """A URL with the sentinels and the master's name."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}"

    def fail_over(self) -> None:
        """Kill the master; wait until every sentinel names the replica, and it takes writes."""
        marks = [len(sentinel.process.lines) for sentinel in self.sentinels]
        self.master.kill()
        for sentinel, mark in zip(self.sentinels, marks, strict=True):
            sentinel.process.wait_for(f"+switch-master {NAME} ", after=mark)
        self.replica.process.wait_for("MASTER MODE enabled")
        self.master, self.replica = self.replica, self.master

    def named(self) -> list[int]:
        """Return the master's port according to each sentinel."""
        words = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return [int(sentinel.call(*words)[1]) for sentinel in self.sentinels]

    def flush(self) -> None:
        """Delete all data and all scripts."""
        self.master.flush()

    def _start(self, started: ExitStack) -> None:
        started.enter_context(self.master)
        self.replica = started.enter_context(
            RedisServer(
                self._binary,
                conf=[f"replicaof 127.0.0.1 {self.master.port}", "repl-diskless-sync-delay 0"],
            )
        )
        self.replica.process.wait_for("MASTER <-> REPLICA sync: Finished")
        self.sentinels = [started.enter_context(self._sentinel()) for _ in range(_SENTINELS)]
        for sentinel in self.sentinels:
            sentinel.process.wait_for("+slave slave ")
            sentinel.process.wait_for("+sentinel sentinel ", times=_SENTINELS - 1)

    def _sentinel(self) -> RedisServer:
        watched = [
            f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} 2",
            f"sentinel down-after-milliseconds {NAME} 400",
            f"sentinel failover-timeout {NAME} 2000",
            f"sentinel parallel-syncs {NAME} 1",
        ]
        return RedisServer(
            self._binary, conf=watched, arguments=["--sentinel"], ready="+monitor master"
        )
