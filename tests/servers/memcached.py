"""One memcached server."""

from __future__ import annotations

import getpass
import socket

from tests.servers.process import Process
from tests.servers.server import Server

__all__ = ["Memcached"]

_ENDS = {"END", "OK", "DELETED", "NOT_FOUND", "STORED", "NOT_STORED", "RESET", "TOUCHED"}
_ENDED = ("VERSION", "ERROR", "CLIENT_ERROR", "SERVER_ERROR")


class Memcached(Server):
    """One memcached server. It loses everything when it is started again."""

    taken = "in use"

    def __init__(self, binary: str = "memcached") -> None:
        super().__init__()
        self._binary = binary

    @property
    def url(self) -> str:
        """Its URL."""
        return f"memcached://127.0.0.1:{self.port}"

    def _process_on(self, port: int) -> Process:
        self.port = port
        return Process(self._command(), ready="server listening")

    def call(self, *words: str | int) -> list[str]:
        """Send one line of the text protocol. Return the answer's lines without ``END``."""
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
        raise ConnectionError("memcached closed the connection before its answer ended")

    def get(self, key: str) -> str | None:
        """Return the value of a key."""
        with socket.create_connection(self.address, 10) as connection:
            connection.sendall(f"get {key}\r\n".encode())
            with connection.makefile("rb") as stream:
                head = stream.readline().split()
                if head[:1] != [b"VALUE"]:
                    return None
                return stream.read(int(head[3])).decode()

    def flush(self) -> None:
        """Delete all data."""
        self.call("flush_all")

    def _command(self) -> list[str]:
        """Return its command. Without -vv it does not print that it is ready."""
        who = ["-u", getpass.getuser()]  # required if root runs it
        port = str(self.port)
        return [self._binary, "-l", "127.0.0.1", "-p", port, "-U", "0", "-m", "64", "-vv", *who]
