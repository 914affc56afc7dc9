"""The servers that are measured: each started for this run, if its program is here."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Redis", "Servers", "servers"]

PATIENCE = 10.0
"""Seconds that a server may take to start."""

TRIES = 5
"""Ports that are tried: somebody else may be quicker with one."""


@dataclass(frozen=True)
class Redis:
    """A Redis or Valkey server, and a connection to look at it.

    Attributes:
        port: On 127.0.0.1.
        socket: Its socket file.
        client: Of the `redis` package, synchronous: it is asked between measurements only.
        version: As it says.
    """

    port: int
    socket: Path
    client: Any
    version: str

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"redis+unix://{self.socket}"


@dataclass(frozen=True)
class Servers:
    """What there is.

    Attributes:
        directory: Of this run, for files; removed at its end.
        redis: None where there is none.
        memcached: URL; empty where there is none.
        skipped: What is not measured, and why.
    """

    directory: Path
    redis: Redis | None
    memcached: str
    skipped: tuple[str, ...]


@contextmanager
def servers() -> Iterator[Servers]:
    """Start what there is, and end it for certain."""
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="querybudget-bench-"))
        directory, skipped = Path(made), list[str]()
        redis = _redis(stack, directory, skipped)
        memcached = _memcached(stack, skipped)
        yield Servers(directory, redis, memcached, tuple(skipped))


def _redis(stack: ExitStack, directory: Path, skipped: list[str]) -> Redis | None:
    binary = shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        skipped.append("all on Redis: expected redis-server or valkey-server on PATH, found none")
        return None
    try:
        import redis  # noqa: PLC0415 - an extra
    except ImportError:
        skipped.append("all on Redis: expected its client: pip install 'querybudget[redis]'")
        return None
    path = directory / "redis.sock"
    options = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(directory)]
    words = [binary, *options, "--unixsocket", str(path), "--port"]
    port = _started(stack, words)
    client = redis.Redis(port=port)
    stack.callback(client.close)
    return Redis(port, path, client, str(client.info("server")["redis_version"]))


def _memcached(stack: ExitStack, skipped: list[str]) -> str:
    binary = shutil.which("memcached")
    if binary is None:
        skipped.append("the limits adapter: expected memcached on PATH, found none")
        return ""
    try:
        import memcachio  # noqa: F401, PLC0415 - an extra
    except ImportError:
        skipped.append("the limits adapter: expected pip install 'querybudget[memcached]'")
        return ""
    # One that is started by root has to be told whom to be.
    words = [binary, "-l", "127.0.0.1", "-U", "0", "-u", getpass.getuser(), "-p"]
    return f"memcached://127.0.0.1:{_started(stack, words)}"


def _started(stack: ExitStack, words: Sequence[str]) -> int:
    """Start a server whose last argument is its port; that port, once it is listened on."""
    for _ in range(TRIES):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        process = subprocess.Popen(
            [*words, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(_ended, process)
        if _listens(process, port):
            return port
    raise SystemExit(f"{words[0]} did not start: expected it to listen within {PATIENCE:.0f} s")


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return process.poll() is None
    return False


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
