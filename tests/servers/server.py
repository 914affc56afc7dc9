"""What all servers of tests have in common: starting, stopping, freezing."""

from __future__ import annotations

from contextlib import ExitStack
from typing import ClassVar, Self

from tests.servers.process import Process, ServerError, on_free_port

__all__ = ["Server", "ServerSet"]


class Server:
    """One server on 127.0.0.1, on a free port that it keeps when it is started again.

    Attributes:
        taken: What it prints if another program has its port.
        port: Its port; 0 before its first start.
    """

    taken: ClassVar[str]

    def __init__(self) -> None:
        self.port = 0
        self._process: Process | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        return "127.0.0.1", self.port

    @property
    def process(self) -> Process:
        """Its process, and what it prints."""
        if self._process is None:
            raise ServerError("it was not started: expected start() before")
        return self._process

    def start(self) -> Self:
        """Start it, or start it again with what it saved."""
        if self._process is not None:
            self._process.start()
        else:
            self._process = on_free_port(self._process_on, self.taken)
        return self

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing is answered."""
        self.process.pause()

    def resume(self) -> None:
        """Let a frozen server continue."""
        self.process.resume()

    def kill(self) -> None:
        """Kill it, as a crash would. Does nothing if it is not running."""
        if self._process:
            self._process.kill()

    def stop(self) -> None:
        """Stop it. Stopping twice does nothing."""
        self.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _process_on(self, port: int) -> Process:
        """Return a process that will listen on `port`."""
        raise NotImplementedError


class ServerSet:
    """Several servers that start and stop together."""

    def __init__(self, binary: str) -> None:
        self._binary = binary
        self._started = ExitStack()

    def start(self) -> Self:
        """Start all, and wait until they work together. If one fails, stop all."""
        with ExitStack() as started:
            self._start(started)
            self._started = started.pop_all()
        return self

    def stop(self) -> None:
        """Stop all. Stopping twice does nothing."""
        self._started.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self, started: ExitStack) -> None:
        """Start each server in `started`."""
        raise NotImplementedError
