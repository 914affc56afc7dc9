"""A server's process: started, read, frozen, and always ended.

A thread reads a server's output from a pipe, so tests wait for a line instead of polling. A
*guardian* process kills the servers that are left when the tests are killed: its standard input
ends then.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

__all__ = ["PATIENCE", "Process", "ServerError", "free_port", "on_free_port"]

PATIENCE = 300
"""Seconds that tests wait for a line of a server, or for another process."""


_TRIES = 5
_DRAWN = random.SystemRandom()


class ServerError(RuntimeError):
    """A server did not start, or did not do something in time."""


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on.

    It is drawn at random from below the range that systems give to clients. So no connection takes
    it before the server does, and parallel test workers do not draw the same one.
    """
    while True:
        port = _DRAWN.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Process:
    """One server's process.

    Args:
        command: The program and its arguments.
        ready: Part of the line that it writes when it is ready.
        env: Variables added to those of the tests.
    """

    def __init__(
        self, command: Sequence[str], *, ready: str, env: Mapping[str, str] | None = None
    ) -> None:
        self._command = [*command]
        self._ready = ready
        self._env = {**os.environ, **(env or {})}
        self._popen: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: list[str] = []
        self._ended = False
        self._said = threading.Condition()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._popen is None:
            raise ServerError(f"{self._command[0]} is not running")
        return self._popen.pid

    @property
    def lines(self) -> list[str]:
        """All lines of output since the first start."""
        with self._said:
            return list(self._lines)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        if self.running:
            raise ServerError(f"{self._command[0]} is running already")
        begin, self._ended = len(self._lines), False
        self._popen = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._env,
            text=True,
            errors="replace",
            start_new_session=True,  # an interrupt at the terminal is for the tests
        )
        _tell_guardian("+", self._popen.pid)
        assert self._popen.stdout
        self._reader = threading.Thread(target=self._read, args=(self._popen.stdout,), daemon=True)
        self._reader.start()
        try:
            self.wait_for(self._ready, after=begin)
        except ServerError:
            self.kill()
            raise

    def wait_for(self, text: str, *, after: int = 0, times: int = 1) -> None:
        """Wait until it has said `text` in `times` lines, counted from line `after`.

        Raises:
            ServerError: It ended, or did not say so in `PATIENCE` seconds.
        """

        def said() -> bool:
            return sum(text in line for line in self._lines[after:]) >= times

        with self._said:
            self._said.wait_for(lambda: self._ended or said(), PATIENCE)
            if not said():
                why = "ended" if self._ended else f"was silent for {PATIENCE} s"
                log = "\n".join(self._lines[-20:])
                raise ServerError(
                    f"{self._command[0]}: expected {text!r}, but it {why}, after:\n{log}"
                )

    def wait_for_end(self) -> None:
        """Wait until it has ended by itself.

        Raises:
            ServerError: It did not, in `PATIENCE` seconds.
        """
        assert self._popen
        try:
            self._popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            log = "\n".join(self.lines[-20:])
            raise ServerError(f"{self._command[0]}: expected it to end, after:\n{log}") from None

    def wait_for_silence(self) -> None:
        """Wait until nothing holds its output any more: it and the workers that it has started."""
        assert self._reader
        self._reader.join(PATIENCE)
        if self._reader.is_alive():
            raise ServerError(f"{self._command[0]}: expected its workers to end")

    def kill_group(self) -> None:
        """End it and the workers that it has started, whatever went wrong."""
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        self.kill()

    def pause(self) -> None:
        """Freeze it: its connections stay open, and it does not answer."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Continue after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, as a crash would, if it is running."""
        if self._popen is None:
            return
        self._popen.kill()
        self._popen.wait()
        _tell_guardian("-", self._popen.pid)
        if self._reader:
            self._reader.join()
        self._popen = None

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._said:
                    self._lines.append(line.rstrip())
                    self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()


def on_free_port(make: Callable[[int], Process], taken: str) -> Process:
    """Start the process that `make` returns for a free port; try another port if it is taken.

    Args:
        make: Returns a process, not started, that will listen on a port.
        taken: Part of the line that it writes if the port is taken.

    Raises:
        ServerError: It did not start, or on none of a few ports.
    """
    left = _TRIES
    while True:
        left -= 1
        process = make(free_port())
        try:
            process.start()
        except ServerError:
            if not left or not any(taken in line for line in process.lines):
                raise
        else:
            return process


def _tell_guardian(sign: str, pid: int) -> None:
    guardian = _guardian()
    assert guardian.stdin
    guardian.stdin.write(f"{sign}{pid}\n")
    guardian.stdin.flush()


@functools.cache
def _guardian() -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", "-c", _GUARDIAN]
    guardian = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)

    @atexit.register
    def release() -> None:
        guardian.communicate()

    return guardian


_GUARDIAN = """
import os, signal, sys
pids = set()
for line in sys.stdin:
    pid = int(line[1:])
    pids.add(pid) if line[0] == "+" else pids.discard(pid)
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
"""
