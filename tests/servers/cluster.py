"""Three masters that share the slots of one cluster."""

from __future__ import annotations

from contextlib import ExitStack

from tests.servers.process import free_port
from tests.servers.redis import RedisServer
from tests.servers.server import ServerSet

__all__ = ["ClusterSet"]

SLOTS = 16_384
_NODES = 3
_OK = "Cluster state changed: ok"


class ClusterSet(ServerSet):
    """Three masters and no replica.

    Attributes:
        nodes: The masters.
    """

    def __init__(self, binary: str = "redis-server") -> None:
        super().__init__(binary)
        self._buses: list[int] = []
        self._moving: dict[int, tuple[RedisServer, RedisServer]] = {}
        self.nodes: list[RedisServer] = []

    @property
    def url(self) -> str:
        """Names all three."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://{hosts}"

    def slot_of(self, key: str) -> int:
        """The slot that a key falls into."""
        slot: int = self.nodes[0].call("CLUSTER", "KEYSLOT", key)
        return slot

    def owner(self, slot: int) -> RedisServer:
        """The node that a slot belongs to."""
        for first, last, (_, port, *_rest), *_replicas in self.nodes[0].call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(f"no node has slot {slot}")

    def migrate(self, slot: int, to: RedisServer) -> None:
        """Move a slot and all its keys to another node."""
        self.begin_migration(slot, to)
        self.move_keys(slot)
        self.end_migration(slot)

    def begin_migration(self, slot: int, to: RedisServer) -> None:
        """Start to move a slot: the old owner then answers ASK for keys that it does not have."""
        source = self.owner(slot)
        if source is to:
            raise ValueError(f"slot {slot} is there already: expected another node")
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(source))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(to))
        self._moving[slot] = source, to

    def move_keys(self, slot: int, count: int | None = None) -> int:
        """Move `count` keys of a slot that is being moved, or all. Return how many were moved."""
        source, to = self._moving[slot]
        moved = 0
        while count is None or moved < count:
            wanted = 100 if count is None else min(100, count - moved)
            keys = source.call("CLUSTER", "GETKEYSINSLOT", slot, wanted)
            if not keys:
                break
            source.call("MIGRATE", *to.address, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        return moved

    def end_migration(self, slot: int) -> None:
        """Send all nodes the slot's new owner; the old one answers MOVED."""
        source, to = self._moving.pop(slot)
        others = (node for node in self.nodes if node is not source and node is not to)
        # The new owner comes first, so that the slot always has an owner.
        for node in (to, source, *others):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", self._id(to))

    def flush(self) -> None:
        """Delete all data and all scripts."""
        for node in self.nodes:
            node.flush()

    def _start(self, started: ExitStack) -> None:
        self._buses = [free_port() for _ in range(_NODES)]
        self.nodes = [started.enter_context(self._node(bus)) for bus in self._buses]
        share = -(-SLOTS // _NODES)
        for index, node in enumerate(self.nodes):
            first = index * share
            node.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            node.call("CLUSTER", "ADDSLOTSRANGE", first, min(first + share, SLOTS) - 1)
        for node, bus in zip(self.nodes[1:], self._buses[1:], strict=True):
            self.nodes[0].call("CLUSTER", "MEET", *node.address, bus)
        for node in self.nodes:
            node.process.wait_for(_OK)

    def _id(self, node: RedisServer) -> str:
        name: str = node.call("CLUSTER", "MYID")
        return name

    def _node(self, bus: int) -> RedisServer:
        conf = [
            "cluster-enabled yes",
            "cluster-config-file nodes.conf",
            f"cluster-port {bus}",  # else the port and 10,000, which may be no port at all
            "cluster-node-timeout 2000",
        ]
        return RedisServer(self._binary, conf=conf)
