"""One memcached server."""

from __future__ import annotations

import getpass
import socket
from typing import Self

from tests.servers.process import Process, ServerError, on_free_port

__all__ = ["Memcached"]

_ENDS = {"END", "OK", "DELETED", "NOT_FOUND", "STORED", "NOT_STORED", "RESET", "TOUCHED"}
_ENDED = ("VERSION", "ERROR", "CLIENT_ERROR", "SERVER_ERROR")


class Memcached:
    """One memcached server on 127.0.0.1. Whatever it had is gone when it is started again."""

    def __init__(self, binary: str = "memcached") -> None:
        self.port = 0
        self._binary = binary
        self._process: Process | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        """Its URL."""
        return f"memcached://127.0.0.1:{self.port}"

    @property
    def process(self) -> Process:
        """Its process, and what it says."""
        if self._process is None:
            raise ServerError("it was not started: expected start() before")
        return self._process

    def start(self) -> Self:
        """Start it, empty; again on the same port."""
        if self._process is not None:
            self._process.start()
            return self
        self._process = on_free_port(self._made, "in use")
        return self

    def _made(self, port: int) -> Process:
        self.port = port
        return Process(self._command(), ready="server listening")

    def call(self, *words: str | int) -> list[str]:
        """Send one line of the text protocol. The lines of its answer, without the last ``END``."""
        with socket.create_connection(self.address, 10) as connection:
            connection.sendall(" ".join(map(str, words)).encode() + b"\r\n")
            lines: list[str] = []
            with connection.makefile("r", encoding="utf-8", newline="\r\n") as stream:
                for line in stream:
                    said = line.rstrip()
                    if said == "END":
                        return lines
                    lines.append(said)
                    if said in _ENDS or said.startswith(_ENDED) or said.isdigit():
                        return lines
        raise ConnectionError("memcached hung up before it had answered")

    def get(self, key: str) -> str | None:
        """What a key holds."""
        with socket.create_connection(self.address, 10) as connection:
            connection.sendall(f"get {key}\r\n".encode())
            with connection.makefile("rb") as stream:
                head = stream.readline().split()
                if head[:1] != [b"VALUE"]:
                    return None
                return stream.read(int(head[3])).decode()

    def flush(self) -> None:
        """Forget all."""
        self.call("flush_all")

    def pause(self) -> None:
        """Freeze it: connections stay open, and nothing is answered."""
        self.process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self.process.resume()

    def kill(self) -> None:
        """End it at once, as a crash would. Nothing where it is not running."""
        if self._process:
            self._process.kill()

    def stop(self) -> None:
        """End it. Stopping twice does nothing."""
        self.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _command(self) -> list[str]:
        """Its command: without -vv it does not say when it is ready."""
        who = ["-u", getpass.getuser()]  # root has to say whom to be
        port = str(self.port)
        return [self._binary, "-l", "127.0.0.1", "-p", port, "-U", "0", "-m", "64", "-vv", *who]
