"""One Redis or Valkey server."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.servers import resp
from tests.servers.process import Process, ServerError
from tests.servers.server import Server

__all__ = ["READY", "RedisServer", "faketime_library"]

READY = "Ready to accept connections"


def faketime_library() -> str | None:
    """Return the path of libfaketime, if it is installed."""
    for folder in ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib"):
        for pattern in ("*/faketime/libfaketime.so.1", "faketime/libfaketime.so.1"):
            for found in sorted(Path(folder).glob(pattern)):
                return str(found)
    return None


class RedisServer(Server):
    """One Redis or Valkey server. It saves nothing unless `conf` says so.

    Args:
        binary: ``redis-server`` or ``valkey-server``.
        conf: Lines to add to its configuration file, such as ``appendonly yes``.
        unix_socket: Whether it also listens on a socket file.
        faketime: Whether its clock can be set.
        arguments: Arguments to add to its command.
        ready: Part of the line that it prints when it is ready.
    """

    taken = "Address already in use"

    def __init__(
        self,
        binary: str = "redis-server",
        *,
        conf: Sequence[str] = (),
        unix_socket: bool = False,
        faketime: bool = False,
        arguments: Sequence[str] = (),
        ready: str = READY,
    ) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="querybudget-"))
        self._binary = binary
        self._arguments = [*arguments]
        self._ready = ready
        self._conf = [*conf]
        self._socket = self.directory / "server.sock" if unix_socket else None
        self._clock = self.directory / "clock" if faketime else None

    @property
    def url(self) -> str:
        """Its URL over TCP."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Its URL over its socket file."""
        if self._socket is None:
            raise ServerError("it has no socket file: expected RedisServer(unix_socket=True)")
        return f"redis+unix://{self._socket}"

    def _process_on(self, port: int) -> Process:
        self.port = port
        return Process(self._configured(), ready=self._ready, env=self._environment())

    def call(self, *words: str | bytes | float) -> Any:
        """Send one command. Returns and raises as `resp.call` does."""
        return resp.call(self.address, *words)

    def flush(self) -> None:
        """Delete all data and all scripts."""
        self.call("FLUSHALL")
        self.call("SCRIPT", "FLUSH")

    def set_clock(self, offset: float) -> None:
        """Set its clock to `offset` seconds from the true time."""
        if self._clock is None:
            raise ServerError("its clock is true: expected RedisServer(faketime=True)")
        written = self._clock.with_suffix(".new")
        written.write_text(f"{offset:+f}\n")
        written.replace(self._clock)

    def kill(self) -> None:
        """Kill it, as a crash would. Does nothing if it is not running."""
        if not self._process:
            return
        pid = self._process.pid if self._process.running else 0
        self._process.kill()
        if self._clock and pid:  # libfaketime leaves shared memory behind
            for shared in Path("/dev/shm").glob(f"*faketime_*_{pid}"):
                shared.unlink(missing_ok=True)

    def stop(self) -> None:
        """Stop it, and remove its directory. Stopping twice does nothing."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _configured(self) -> list[str]:
        """Write its configuration file, and return its command."""
        lines = ["bind 127.0.0.1", f"port {self.port}", f'dir "{self.directory}"', "daemonize no"]
        if "--sentinel" not in self._arguments:
            lines.append('save ""')
        if self._socket:
            lines.append(f'unixsocket "{self._socket}"')
        path = self.directory / "server.conf"
        path.write_text("\n".join([*lines, *self._conf, ""]))
        return [self._binary, str(path), *self._arguments]

    def _environment(self) -> dict[str, str]:
        if self._clock is None:
            return {}
        library = faketime_library()
        if library is None:
            raise ServerError("no libfaketime.so.1: expected the package faketime")
        self.set_clock(0)
        return {
            # An allocator that asks for the time before libfaketime is ready never returns, such as
            # jemalloc where a distribution links it. So the C library's own goes first.
            "LD_PRELOAD": f"{library} libc.so.6",
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
